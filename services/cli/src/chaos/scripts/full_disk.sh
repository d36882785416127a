# The broker takes its disk for full: its configuration asks for more free space than any disk has.
again() {
    pid=$("$STACK_COMMAND" status | awk -v part="$PART" '$1 == part && $3 ~ /^[0-9]+$/ { print $3 }')
    if [ -n "$pid" ]; then kill -s TERM "$pid"; fi
}
strike() {
    cp -p "$CONFIG" "$CONFIG.before-chaos" \
        && echo "log.min.free.bytes=$FLOOR" >>"$CONFIG" \
        && again
}
undo() {
    if [ -e "$CONFIG.before-chaos" ]; then mv -f "$CONFIG.before-chaos" "$CONFIG" && again; fi
}
