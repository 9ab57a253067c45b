# What the scripts share that run several servers on this machine; read by them with `source`,
# after common.sh. They set `port` and `data` first: the service's port at 127.0.0.1, and the data
# folder. `server_options` may hold further options, for every server.
#
# A server is named by its slot in the data folder. Its log and its process id are in the folder
# `run` there. The id is kept with the moment at which the process began, and only a process for
# which both are the same is ever signalled: ids are used again.
# shellcheck shell=bash
# shellcheck disable=SC2154 # port and data are set by those who read this file

server_options=()

# Where the programs are. scripts/test has built them already, in another way.
programs=${LASTWORD_PROGRAMS:-$top}

build_programs() {
    [ "$programs" != "$top" ] || "$top/scripts/build"
}

# How long a server that was started may take to find its place, in seconds.
start_seconds_max=${LASTWORD_START_SECONDS:-30}

log_of() {
    printf '%s/run/server-%s.log\n' "$data" "$1"
}

# When process $1 began, in clock ticks since the machine did; fails when it has ended.
began() {
    local stat
    local -a fields
    { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 1
    # The second field is the program's name in parentheses, and may hold anything.
    read -r -a fields <<<"${stat##*) }"
    case ${fields[0]} in
    # It has ended, and nobody has asked how.
    Z | X) return 1 ;;
    esac
    printf '%s\n' "${fields[19]}"
}

# The process id of the server in slot $1, if one of these scripts has started it and it lives.
process_of() {
    local process began
    { read -r process began <"$data/run/server-$1.pid"; } 2>/dev/null || return 1
    [ -n "$began" ] && [ "$(began "$process")" = "$began" ] || return 1
    printf '%s\n' "$process"
}

# The process id of a server in slot $1 that somebody else has started, as the slot's lock says.
foreign_process_of() {
    local process
    ! process_of "$1" >/dev/null || return 1
    { read -r process <"$data/server-$1/lock"; } 2>/dev/null || return 1
    case $(readlink "/proc/${process:-none}/exe" 2>/dev/null) in
    */server | */server' (deleted)') printf '%s\n' "$process" ;;
    *) return 1 ;;
    esac
}

is_running() {
    process_of "$1" >/dev/null
}

# Whether the server in slot $1 is stopped (SIGSTOP).
is_paused() {
    local process
    process=$(process_of "$1") || return 1
    grep -q '^State:.T' "/proc/$process/status" 2>/dev/null
}

# The slots that there are, in order.
slots() {
    local folder
    for folder in "$data"/server-*/ "$data"/run/server-*.pid; do
        folder=${folder%/}
        folder=${folder##*/server-}
        folder=${folder%.pid}
        [[ ! $folder =~ ^[1-9][0-9]*$ ]] || printf '%s\n' "$folder"
    done | sort -nu
}

running_slots() {
    local slot
    for slot in $(slots); do
        ! is_running "$slot" || printf '%s\n' "$slot"
    done
}

# The ports at which the server in slot $1 listens. The kernel is asked and not the server: it knows,
# also while the server is paused.
ports_of() {
    local process inodes hex
    process=$(process_of "$1") || return 1
    inodes=$(find "/proc/$process/fd" -lname 'socket:*' -printf '%l ' 2>/dev/null | tr -dc '0-9 ') || true
    # Columns: number, local address, remote address, state (0A listens), …, inode is the tenth.
    while read -r hex; do
        printf '%s\n' $((16#$hex))
    done < <(awk -v inodes="$inodes" '
        BEGIN { split(inodes, list, " "); for (i in list) ours[list[i]] }
        $4 == "0A" && $10 in ours { sub(".*:", "", $2); print $2 }
    ' /proc/net/tcp /proc/net/tcp6 2>/dev/null)
}

# The port of the member address of the server in slot $1: the one that is not the service's.
member_port_of() {
    ports_of "$1" | grep -vx "$port" | head -n 1 | grep .
}

# What the server in slot $1 says of itself.
status_of() {
    local member
    ! is_paused "$1" && member=$(member_port_of "$1") && status_at "$member"
}

# A word of the first line of a STATUS on standard input, by its place: 3 is the id, 4 the role.
word_of_status() {
    awk -v place="$1" 'NR == 1 && $2 == "server" { print $place }'
}

# Why clients are not let in, by a STATUS on standard input; nothing if they are.
why_not_ready() {
    sed -n 's/^\* ready no //p'
}

role_of() {
    status_of "$1" | word_of_status 4
}

# Whether the service is there and lets clients in.
is_ready() {
    case $(status_at "$port") in
    *'* ready yes'*) ;;
    *) return 1 ;;
    esac
}

# Whether the primary says that the server in slot $1 is in sync.
is_in_sync() {
    local member
    member=$(member_port_of "$1") || return 1
    status_at "$port" | grep -q "^\* member [0-9]* in-sync 127\.0\.0\.1:$member "
}

# The slot of the primary, if there is one.
primary_slot() {
    local slot
    for slot in $(running_slots); do
        [ "$(role_of "$slot")" != primary ] || {
            printf '%s\n' "$slot"
            return 0
        }
    done
    return 1
}

milliseconds() {
    local time=${EPOCHREALTIME:-$(date +%s.%6N)}
    time=${time/[.,]/}
    printf '%s\n' $((time / 1000))
}

# Waits until a command succeeds; answers 1 if that takes longer than $1 milliseconds.
within() {
    local until=$(($(milliseconds) + $1))
    shift
    until "$@"; do
        [ "$(milliseconds)" -lt "$until" ] || return 1
        sleep 0.02
    done
}

has_ended() {
    ! is_running "$1"
}

# Starts the server in slot $1, which does not run, in a session of its own: neither Ctrl+C nor the
# end of this terminal reaches it.
start_slot() {
    local slot=$1 is_primary=0
    # Only in slot 1, and only where nothing is yet, may a server found a cluster.
    [ "$slot" != 1 ] || is_primary=1
    (
        umask 077
        mkdir -p -- "$data/run" || exit 1
        # Where this ends right away, its parent has nothing to say about how the server ends.
        setsid "$programs/server" 127.0.0.1 "$port" "$is_primary" --slot "$slot" --data "$data" \
            "${server_options[@]}" </dev/null >>"$(log_of "$slot")" 2>&1 &
        printf '%s %s\n' "$!" "$(began "$!")" >"$data/run/server-$slot.pid"
    ) || fail "The folder $data cannot be written: choose another with --data DIR."
}

# Whether the server in slot $1 has found its place: primary or backup, or waiting for the same
# for a second. Fails for good when it has ended.
placed_since=0
placed_why=
is_placed() {
    local status why
    is_running "$1" || return 0
    status=$(status_of "$1") || return 1
    case $(word_of_status 4 <<<"$status") in
    primary | backup) return 0 ;;
    esac
    why=$(why_not_ready <<<"$status")
    case $why in
    'waiting for server'*) ;;
    *) why= ;;
    esac
    if [ -z "$why" ] || [ "$why" != "$placed_why" ]; then
        placed_why=$why
        placed_since=$(milliseconds)
        return 1
    fi
    [ $(($(milliseconds) - placed_since)) -ge 1000 ]
}

# Waits until the server in slot $1 has found its place, as above; shows what it wrote, the first $2 bytes
# of its log excepted, when it ends instead.
wait_until_placed() {
    local slot=$1 log_bytes_before=$2
    placed_why=
    within $((start_seconds_max * 1000)) is_placed "$slot" || {
        printf 'The server in slot %s has found no place after %s seconds; its log is %s.\n' \
            "$slot" "$start_seconds_max" "$(log_of "$slot")" >&2
        return 1
    }
    is_running "$slot" || {
        printf 'The server in slot %s did not start:\n' "$slot" >&2
        tail -c "+$((log_bytes_before + 1))" -- "$(log_of "$slot")" >&2
        return 1
    }
}

log_bytes_of() {
    local log
    log=$(log_of "$1")
    if [ -f "$log" ]; then wc -c <"$log"; else printf '0\n'; fi
}

# Sends signal $1 to the server in slot $2; answers 1 if it does not run.
signal_slot() {
    local process
    process=$(process_of "$2") && kill -s "$1" "$process"
}

# A sentence about the server in slot $1.
describe_slot() {
    local slot=$1 process status server role why
    if process=$(foreign_process_of "$slot"); then
        printf 'slot %s: process %s, which these scripts have not started\n' "$slot" "$process"
        return
    fi
    if ! process=$(process_of "$slot"); then
        printf 'slot %s: down\n' "$slot"
        return
    fi
    if is_paused "$slot"; then
        printf 'slot %s: process %s, paused\n' "$slot" "$process"
        return
    fi
    if ! status=$(status_of "$slot"); then
        printf 'slot %s: process %s, which does not answer\n' "$slot" "$process"
        return
    fi
    server=$(word_of_status 3 <<<"$status")
    role=$(word_of_status 4 <<<"$status")
    why=
    case $role in
    backup | learner) ;;
    *) why=$(why_not_ready <<<"$status") ;;
    esac
    printf 'slot %s: process %s, server %s, %s, at 127.0.0.1:%s%s\n' \
        "$slot" "$process" "$server" "$role" "$(member_port_of "$slot")" "${why:+; not ready: $why}"
}

# A sentence about what clients find.
describe_service() {
    local status slot
    for slot in $(running_slots); do
        ! is_paused "$slot" || ! ports_of "$slot" | grep -qx "$port" || {
            printf 'service 127.0.0.1:%s: held by slot %s, which is paused; others serve at their own addresses\n' "$port" "$slot"
            return
        }
    done
    if ! status=$(status_at "$port"); then
        printf 'service 127.0.0.1:%s: nobody\n' "$port"
        return
    fi
    case $status in
    *'* ready yes'*) printf 'service 127.0.0.1:%s: ready\n' "$port" ;;
    *'* server '*) printf 'service 127.0.0.1:%s: not ready: %s\n' "$port" "$(why_not_ready <<<"$status")" ;;
    *) printf 'service 127.0.0.1:%s: somebody has the port who does not answer as a server does\n' "$port" ;;
    esac
}
