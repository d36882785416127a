strike() { kill -s STOP "$PID"; }
# It may have been killed meanwhile.
undo() { kill -s CONT "$PID" 2>/dev/null || true; }
