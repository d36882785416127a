#!/bin/bash
# Turns every variable whose name has a dot into a setting.
set -euo pipefail
export OPENSEARCH_JAVA_HOME=/usr/share/opensearch/jdk
settings=()
while IFS='=' read -r -d '' name value; do
    if [[ $name =~ ^[a-z0-9_]+\.[a-z0-9_.]+$ ]]; then
        settings+=("-E$name=$value")
    fi
done < <(env -0)
exec ./bin/opensearch "${settings[@]}"
