strike() { docker stop "$CONTAINER" >/dev/null; }
undo() { docker start "$CONTAINER" >/dev/null; }
