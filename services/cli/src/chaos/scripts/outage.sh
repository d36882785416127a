strike() { "$STACK_COMMAND" down --only "$PART" >&2; }
undo() { "$STACK_COMMAND" up --only "$PART" >&2; }
