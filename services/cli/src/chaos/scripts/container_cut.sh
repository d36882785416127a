# Reaches it only as long as it has the mesh's network and no other.
network() { docker inspect --format '{{range $name, $_ := .NetworkSettings.Networks}}{{println $name}}{{end}}' "$CONTAINER"; }
strike() { mesh=$(network) && [ -n "$mesh" ] && docker network disconnect "$mesh" "$CONTAINER"; }
undo() {
    if [ -n "${mesh:-}" ]; then docker network connect --alias "$PART" "$mesh" "$CONTAINER"; fi
}
