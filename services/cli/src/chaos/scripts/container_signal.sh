began() { docker inspect --format '{{.State.StartedAt}}' "$CONTAINER"; }
strike() { before=$(began) && docker kill --signal "$SIGNAL" "$CONTAINER" >/dev/null; }
# Docker takes a kill of its own for a stop by hand, after which it starts nothing. A start does nothing to what still runs.
undo() {
    tries=0
    while [ "$(began)" = "$before" ] && [ "$tries" -lt 60 ]; do
        docker start "$CONTAINER" >/dev/null
        sleep 0.5
        tries=$((tries + 1))
    done
    [ "$(began)" != "$before" ]
}
