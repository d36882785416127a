# Begins a fault and holds it until standard input ends, which it does with whoever began it, or for $LIMIT seconds.
# This process is its own, so that it ends the fault whatever becomes of the command. PIPE: nobody may be there to be told.
trap '' HUP INT TERM PIPE
if strike; then
    echo held
    timeout -s KILL "$LIMIT" cat >/dev/null 2>&1
    undo
else
    undo
    exit 1
fi
