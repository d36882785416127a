strike() { docker pause "$CONTAINER" >/dev/null; }
undo() { docker unpause "$CONTAINER" >/dev/null; }
