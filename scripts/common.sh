# What the other scripts share; read by them with `source`, not run.
# shellcheck shell=bash

# The top of the checkout, wherever it is and from wherever a script is called.
top=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)

# Ends the script with one sentence about what is wrong and what to do.
fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

# Ends the script unless $1 is a port; the script has a function `usage_error`.
check_port() {
    if ! [[ $1 =~ ^[1-9][0-9]{0,4}$ ]] || [ "$1" -gt 65535 ]; then
        usage_error "A port is a number from 1 to 65535, not $1."
    fi
}

# The data folder for the value $1 of --data, which may be empty, and the port $2, as seen from the
# folder $3.
data_folder() {
    local folder=${1%/}
    case $1 in
    '') printf '%s/lastword-data/127.0.0.1_%s\n' "$top" "$2" ;;
    /*) printf '%s\n' "${folder:-/}" ;;
    *) printf '%s/%s\n' "$3" "$folder" ;;
    esac
}

# Finds cargo, a new enough Rust and a C compiler (for the SQLite that is compiled in), or says
# what to install.
check_tools() {
    local needed version folder
    if ! command -v cargo >/dev/null; then
        # Where rustup puts it; a terminal that was open before does not know.
        for folder in "${CARGO_HOME:-}/bin" "${HOME:-}/.cargo/bin"; do
            if [ -x "$folder/cargo" ]; then
                PATH=$folder:$PATH
                break
            fi
        done
    fi
    needed=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$top/Cargo.toml")
    command -v cargo >/dev/null ||
        fail "Rust is missing (no cargo on the PATH or in ~/.cargo/bin): install Rust $needed or newer with the one line that https://rustup.rs shows, then run this again."
    version=$(cd "$top" && rustc --version 2>&1) ||
        fail "Rust is there, but does not run: with rustup, \`rustup default stable\` sets it up. It says: $version"
    version=$(printf '%s\n' "$version" | sed -n 's/^rustc \([0-9.]*\).*/\1/p')
    [ "$(printf '%s\n%s\n' "$needed" "$version" | sort -V | head -n 1)" = "$needed" ] ||
        fail "Rust $version is too old: $needed or newer is needed; \`rustup update stable\` brings it (without rustup: https://rustup.rs)."
    # Headers, too: a compiler without the C library's cannot build SQLite.
    printf '#include <stdio.h>\n' | cc -x c -fsyntax-only - >/dev/null 2>&1 ||
        fail "A C compiler is missing (\`cc\` with the C library's headers): install one with \`sudo apt-get install build-essential\` on Debian or Ubuntu, \`sudo dnf install gcc\` on Fedora, \`sudo pacman -S base-devel\` on Arch."
}

# Builds the programs with the given command of cargo, and leaves links to them in a folder.
# `kill $!` thus hits the program itself and no wrapper.
build_into() {
    local folder=$1 programs program
    shift
    # The paths come from cargo itself: they depend on CARGO_TARGET_DIR and on its configuration.
    programs=$(cd "$top" && cargo "$@" --locked --message-format=json-render-diagnostics |
        sed -n '/"kind":\["bin"\]/ { /"test":false}/ s/.*"executable":"\([^"]*\)".*/\1/p; }') || exit 1
    [ -n "$programs" ] || fail "cargo built no program; its messages are above."
    while IFS= read -r program; do
        ln -sfn -- "$program" "$folder/${program##*/}"
    done <<<"$programs"
}

# Asks the server at 127.0.0.1:$1 how it is, and prints the answer; fails when nobody listens.
# At most two seconds for each line, so that a stranger on the port holds up nobody.
status_at() {
    (
        exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
        printf 'STATUS\nQUIT\n' >&3
        for _ in {1..100}; do
            IFS= read -t 2 -r line <&3 || break
            printf '%s\n' "$line"
            [ "$line" != OK ] || break
        done
        exit 0
    ) 2>/dev/null
}

# Waits until the server at port $1, a child of this script with the process id $2, is ready; its
# messages are in the file $3. Answers 1 when it has ended, 2 when it is not ready in time.
wait_until_ready() {
    local port=$1 server=$2 log=$3
    for _ in {1..300}; do
        kill -0 "$server" 2>/dev/null || return 1
        case $(status_at "$port") in
        *"* ready yes"*) return 0 ;;
        esac
        sleep 0.1
    done
    printf 'The server is not ready after 30 seconds. What it wrote is in %s.\n' "$log" >&2
    return 2
}
