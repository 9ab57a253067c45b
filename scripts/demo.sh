# What the demonstrations share; read by them with `source`, after servers.sh. They narrate what
# happens to real processes, remember every message that had its OK, and look all of them up.
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # they are read together

# How long somebody who may be served at once is waited for, in milliseconds. What it really took is
# shown; this only is where a demonstration counts as failed.
serves_ms_max=10000
# How long a server may take that leaves in order.
leaves_ms_max=2000

# Options of both demonstrations.
port=
data=
graceful=no
here=$PWD
words=()

read_arguments() {
    while [ $# -gt 0 ]; do
        case $1 in
        -h | --help)
            printf '%s\n' "$usage"
            exit 0
            ;;
        --term) graceful=yes ;;
        --port | --data)
            [ $# -ge 2 ] || usage_error "$1 needs a value."
            if [ "$1" = --port ]; then port=$2; else data=$2; fi
            shift
            ;;
        --port=*) port=${1#*=} ;;
        --data=*) data=${1#*=} ;;
        -*) usage_error "There is no option $1." ;;
        *) words+=("$1") ;;
        esac
        shift
    done
    [ -z "$port" ] || check_port "$port"
}

usage_error() {
    printf '%s\n\n%s\n' "$1" "$usage" >&2
    exit 2
}

# Whether the words from the second on are the numbers from 1 to the first, in any order.
is_order() {
    local count=$1
    shift
    [ "$(printf '%s\n' "$@" | sort -n)" = "$(seq "$count")" ]
}

# A port where nobody is, and a folder that goes when the script ends, unless they were chosen.
prepare() {
    local tried
    # Whatever the person has set up is for the person's own servers.
    unset LASTWORD_DATA LASTWORD_USER LASTWORD_PASSWORD LASTWORD_SERVER
    build_programs
    if [ -z "$port" ]; then
        for tried in {1..20}; do
            port=$((20000 + RANDOM % 10000))
            (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
        done
    elif status_at "$port" >/dev/null; then
        fail "Port $port is in use: choose another with --port N."
    fi
    if [ -z "$data" ]; then
        temporary=$(mktemp -d) || fail "No temporary folder can be made: choose one with --data DIR."
        data=$temporary/data
    else
        data=$(data_folder "$data" "$port" "$here")
        [ -z "$(slots)" ] || fail "There are servers in $data already: choose another folder with --data DIR."
    fi
    # What the clients here learn of these servers is of no use afterwards.
    export XDG_STATE_HOME=$data/run/state
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

temporary=
clean_up() {
    local status=$? slot
    trap - EXIT
    for slot in $(running_slots); do
        signal_slot KILL "$slot" || true
    done
    if [ "$status" = 0 ]; then
        [ -z "$temporary" ] || rm -rf -- "$temporary"
    elif [ -d "$data/run" ]; then
        printf '\nWhat the servers wrote last, all of it in %s/run:\n' "$data" >&2
        tail -n 15 -- "$data"/run/*.log >&2 || true
    fi
    exit "$status"
}

# --- saying

chapter() {
    printf '\n== %s\n' "$*"
}

shown() {
    printf '$ %s\n' "$*"
}

said() {
    printf '  %s\n' "$*"
}

# Who leads and who is in sync.
show_cluster() {
    local status primary
    status=$(status_at "$port") || {
        said 'nobody serves'
        return
    }
    primary=$(primary_slot) || primary=none
    said "the primary is in slot $primary; in sync: $(grep -c '^\* member [0-9]* in-sync ' <<<"$status") of $servers"
}

# --- chatting

# Every text that had its OK, in order, and every one that was sent without one.
acknowledged=()
unanswered=()
password_alice=correct-horse
password_bob=battery-staple

# Says lines to the service, in text mode, and prints what comes back until the server closes.
talk() {
    (
        exec 3<>"/dev/tcp/127.0.0.1/$port" || exit 1
        printf '%s\n' "$@" QUIT >&3
        timeout 10 cat <&3
    ) 2>/dev/null
}

create_accounts() {
    local answer
    answer=$(talk "CREATE alice $password_alice" "CREATE bob $password_bob") || true
    [ "$answer" = $'OK created alice\nOK created bob\nOK bye' ] ||
        fail "The accounts were not made: $answer"
    said 'accounts: alice and bob'
}

# alice says something to bob in text mode: its OK is a line with nothing but an id.
send_by_text() {
    talk "LOGIN alice $password_alice" "SEND bob $1" | grep -qE '^OK [0-9]+$'
}

# bob says something to alice with the client: its exit code is the answer.
send_by_client() {
    LASTWORD_PASSWORD=$password_bob "$programs/client" --server "127.0.0.1:$port" --user bob \
        --timeout 10 send alice "$1" >/dev/null 2>&1
}

# Sends one message in the given way, with another text each time until it has its OK.
message=0
send() {
    local how=$1 began text attempt=1
    message=$((message + 1))
    began=$(milliseconds)
    text="message $message"
    until "send_by_$how" "$text"; do
        unanswered+=("$text")
        [ $(($(milliseconds) - began)) -lt "$serves_ms_max" ] ||
            fail "Message $message has no OK after $serves_ms_max ms: $(describe_service)"
        attempt=$((attempt + 1))
        text="message $message, attempt $attempt"
        sleep 0.02
    done
    acknowledged+=("$text")
    sent_ms=$(($(milliseconds) - began))
}

# One message each way.
chat() {
    local first
    send text
    first=$sent_ms
    send client
    said "alice and bob chat: OK after $first ms by text mode, and $sent_ms ms by ./client"
}

texts_by_text() {
    talk "LOGIN alice $password_alice" 'ACK 18446744073709551615' LOG |
        sed -n '/^OK$/,$ s/^MSG [0-9]* [^ ]* [^ ]* [^ ]* //p'
}

texts_by_client() {
    LASTWORD_PASSWORD=$password_bob "$programs/client" --server "127.0.0.1:$port" --user bob log --json |
        sed 's/.*"text":"\([^"]*\)".*/\1/'
}

# Every message that had its OK has to be there, once, in order; of the others each at most once.
look_up() {
    local how texts expected found twice
    expected=$(printf '%s\n' "${acknowledged[@]}")
    for how in text client; do
        texts=$("texts_by_$how") || fail "The messages cannot be looked up ($how)."
        twice=$(sort <<<"$texts" | uniq -d)
        [ -z "$twice" ] || fail "This is there more than once: $twice"
        found=$texts
        if [ "${#unanswered[@]}" -gt 0 ]; then
            found=$(grep -vxFf <(printf '%s\n' "${unanswered[@]}") <<<"$texts") || true
        fi
        [ "$found" = "$expected" ] || {
            diff -u --label 'had its OK' --label "is there ($how)" \
                <(printf '%s\n' "$expected") <(printf '%s\n' "$found") >&2 || true
            fail 'What had its OK is not what is there.'
        }
    done
    said "looked up by text mode and by ./client: all ${#acknowledged[@]} messages that had their OK are there, once, in order"
}

# --- processes

bring_up() {
    local slot=$1 before is_primary=0
    [ "$slot" != 1 ] || is_primary=1
    shown "./server 127.0.0.1 $port $is_primary${server_options[*]:+ ${server_options[*]}} --slot $slot &"
    before=$(log_bytes_of "$slot")
    start_slot "$slot"
    wait_until_placed "$slot" "$before" || exit 1
}

# The server in the slot was started while a primary serves, and has to get in sync.
wait_until_in_sync() {
    local slot=$1 began
    began=$(milliseconds)
    within $((start_seconds_max * 1000)) is_in_sync "$slot" ||
        fail "Slot $slot is not in sync after $start_seconds_max seconds: $(describe_slot "$slot")"
    said "slot $slot is in sync"
}

# Takes a server down, by kill -9 or in order.
take_down() {
    local slot=$1 process role began took
    process=$(process_of "$slot") || fail "The server in slot $slot has ended by itself."
    role=$(role_of "$slot")
    if [ "$graceful" = no ]; then
        shown "kill -9 $process   # slot $slot, ${role:-which does not answer}"
        signal_slot KILL "$slot"
        within 5000 has_ended "$slot" || fail "Process $process does not end."
        return
    fi
    shown "kill $process   # slot $slot, ${role:-which does not answer}"
    began=$(milliseconds)
    signal_slot TERM "$slot"
    within 10000 has_ended "$slot" || fail "Process $process has not ended after 10 s."
    took=$(($(milliseconds) - began))
    said "it has left after $took ms"
    [ "$took" -le "$leaves_ms_max" ] || fail "That is more than $leaves_ms_max ms."
}


wait_until_served() {
    local began
    began=$(milliseconds)
    within $((start_seconds_max * 1000)) is_ready || {
        for slot in $(slots); do describe_slot "$slot"; done
        fail "Nobody serves after $start_seconds_max seconds: $(describe_service)"
    }
    said "served after $(($(milliseconds) - began)) ms"
}

# Starts all servers in the given order after everything was down. Until the last server that served
# is back nobody may serve; each says what it waits for.
bring_all_up() {
    local last=$1 slot why back=no
    shift
    for slot in "$@"; do
        bring_up "$slot"
        [ "$slot" != "$last" ] || back=yes
        if [ "$back" = no ]; then
            why=$(status_of "$slot" | why_not_ready) || true
            [ -n "$why" ] || fail "Slot $slot lets clients in, though slot $last holds newer messages: $(describe_slot "$slot")"
            said "slot $slot is $why"
        elif [ "$slot" = "$last" ]; then
            wait_until_served
        fi
    done
    for slot in "$@"; do
        wait_until_in_sync "$slot"
    done
}
