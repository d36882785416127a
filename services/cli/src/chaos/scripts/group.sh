# The broker in a control group of its own, with a limit. What it has had so far is not counted there.
strike() { mkdir "$GROUP" && echo "$VALUE" >"$GROUP/$FILE" && echo "$PID" >"$GROUP/cgroup.procs"; }
undo() {
    if [ -d "$GROUP" ]; then
        if [ -n "$COUNT" ]; then
            awk 'NF == 1 { n += $1 } $1 == "high" { n += $2 } END { print "the limit was hit " n + 0 " times" }' "$GROUP/$COUNT"
        fi
        while read -r pid; do echo "$pid" >"$BACK/cgroup.procs"; done <"$GROUP/cgroup.procs"
        rmdir "$GROUP"
    fi
}
