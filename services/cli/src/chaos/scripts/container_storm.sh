strike() {
    turn=0
    while [ "$turn" -lt "$TURNS" ]; do
        docker kill "$CONTAINER" >/dev/null && docker start "$CONTAINER" >/dev/null || return
        sleep 0.7
        turn=$((turn + 1))
    done
}
undo() { docker start "$CONTAINER" >/dev/null; }
