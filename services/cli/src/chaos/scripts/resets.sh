# Every connection to the broker, again and again.
strike() {
    turn=0
    while [ "$turn" -lt "$TURNS" ]; do
        ss -K -tnH state connected "$FILTER"
        sleep 0.5
        turn=$((turn + 1))
    done | awk 'END { print NR " connections were reset" }'
}
undo() { true; }
