# Whether the packet filter has what cut.sh asks for: a chain that no packet comes to is made and removed.
strike() {
    mkdir "$GROUP" \
        && iptables -w -N "$CHAIN" \
        && iptables -w -A "$CHAIN" -p tcp -m cgroup --path "$NAME" -j DROP
}
undo() {
    iptables -w -F "$CHAIN" 2>/dev/null && iptables -w -X "$CHAIN"
    if [ -d "$GROUP" ]; then rmdir "$GROUP"; fi
}
