# All brokers have one address, so that packets are told apart by ports: the broker's own; those of the connections that it
# has opened; and by the control group for connections that it opens from now on, which it joins first.
drop() { iptables -w -A "$CHAIN" "$@" -j DROP; }
opened() { ss -tnpH state connected | grep -F "pid=$PID," | awk '{ sub(/.*:/, "", $4); sub(/.*:/, "", $5); print $4, $5 }'; }
rules() {
    for port in $CUT_PORTS; do
        drop -p tcp --sport "$port" || return
        if [ "$DEAF" = 1 ]; then drop -p tcp --dport "$port" || return; fi
    done
    opened | while read -r from to; do
        # What was accepted: by the rules above, or by none, where it is a port that is not to be cut off.
        case " $LISTENS " in *" $from "*) continue ;; esac
        drop -p tcp --sport "$from" --dport "$to" || return
        if [ "$DEAF" = 1 ]; then drop -p tcp --sport "$to" --dport "$from" || return; fi
    done || return
    drop -p tcp -m cgroup --path "$NAME"
}
strike() {
    mkdir "$GROUP" \
        && echo "$PID" >"$GROUP/cgroup.procs" \
        && iptables -w -N "$CHAIN" \
        && rules \
        && iptables -w -I OUTPUT 1 -o lo -p tcp -j "$CHAIN"
}
undo() {
    if iptables -w -n -L "$CHAIN" >/dev/null 2>&1; then
        iptables -w -D OUTPUT -o lo -p tcp -j "$CHAIN"
        iptables -w -n -v -x -L "$CHAIN" | awk 'NR > 2 { n += $1 } END { print n + 0 " packets have vanished" }'
        iptables -w -F "$CHAIN"
        iptables -w -X "$CHAIN"
    fi
    if [ -d "$GROUP" ]; then
        while read -r pid; do echo "$pid" >"$BACK/cgroup.procs"; done <"$GROUP/cgroup.procs"
        rmdir "$GROUP"
    fi
}
