strike() { chmod 000 "$DIRECTORY"; }
undo() { chmod "$MODE" "$DIRECTORY"; }
