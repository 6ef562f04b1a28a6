# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Shared by the scripts that fill the cache. Sourced, never run.

# Not everybody who starts this has a $HOME.
CACHE=${XDG_CACHE_HOME:-${HOME:-~}/.cache}/oci-landlock/vm
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

say() { printf 'vm: %s\n' "$*" >&2; }
die() { say "$*"; exit 125; }

# step TEXT COMMAND…: runs quietly, ticks while it takes long, shows the
# command's output only when it fails.
step() {
    local text=$1 log ticker rc=0 start=$SECONDS
    shift
    # Nameless, so that nothing stays when this is killed.
    log=$(mktemp)
    exec 7<>"$log"
    rm -f "$log"
    printf 'vm: %s …' "$text" >&2
    (
        trap 'exit 0' TERM
        while sleep 2 & wait $!; do printf '.' >&2; done
    ) 7>&- 9>&- >/dev/null &
    ticker=$!
    "$@" >&7 2>&1 7>&- || rc=$?
    kill "$ticker" 2>/dev/null || true
    wait "$ticker" 2>/dev/null || true
    if [ "$rc" = 0 ]; then
        printf ' %d s\n' $((SECONDS - start)) >&2
    else
        printf ' failed (%d)\n' "$rc" >&2
        tail -n 60 /proc/self/fd/7 >&2
    fi
    exec 7>&-
    return "$rc"
}

# lock NAME: one maker at a time; the lock goes with the process.
# Made things are moved into place in one rename, so readers need no lock.
lock() {
    mkdir -p "$CACHE"
    exec 9>"$CACHE/.lock-$1"
    if ! flock -n 9; then
        say "waiting for another process that makes the $1"
        flock 9
    fi
}

# The machine's own proxy, retry and date settings, one `key "value";` a line; it asks again where there was no answer.
apt_options() {
    echo 'Acquire::Retries "5";'
    apt-config dump --format '%F "%v";%n' |
        grep -E '^Acquire::(http|https|ftp|Retries|ForceIPv|Check-|Max-)' |
        grep -v ' "";$' || true
}

# machine_uri SUITE-REGEX: where this machine gets a suite from.
machine_uri() {
    apt-get indextargets --no-release-info 'Created-By: Packages' \
        --format '$(RELEASE) $(REPO_URI)' |
        awk -v re="^($1)\$" '$1 ~ re && $2 !~ /^(cdrom|file|copy):/ { print $2; exit }'
}

debian_codename() {
    # shellcheck source=/dev/null
    (. /etc/os-release && [ "$ID" = debian ] && echo "${VERSION_CODENAME:-}") ||
        echo bookworm
}

debian_uri() {
    local uri=${OCI_LANDLOCK_DEBIAN_MIRROR:-}
    [ -n "$uri" ] || uri=$(machine_uri "$(debian_codename)")
    [ -n "$uri" ] || uri=$(machine_uri 'bookworm|trixie|forky|sid|stable|testing|unstable')
    [ -n "$uri" ] || die "apt on this machine knows no Debian archive: set OCI_LANDLOCK_DEBIAN_MIRROR to one"
    echo "$uri"
}

security_uri() { machine_uri '[a-z]+(-security|/updates)'; }

# sources SUITE…: sources.list lines; *-security suites go to the security
# archive and are left out when the machine does not use it.
sources() {
    local suite uri main
    main=$(debian_uri)
    for suite; do
        case $suite in
        *-security) uri=$(security_uri) ;;
        *) uri=$main ;;
        esac
        [ -z "$uri" ] || echo "deb [signed-by=$KEYRING] $uri $suite main"
    done
}

# amended SUITE: it, and the suites that have what came later for it.
amended() {
    case $1 in
    unstable | sid) echo "$1" ;;
    *) printf '%s\n' "$1" "$1-updates" "$1-security" ;;
    esac
}

# own_apt DIRECTORY ARCHITECTURE SUITE…: from here on apt is one of its own there, for that architecture, with these
# suites; the machine's lists and sources stay as they are.
own_apt() {
    local directory=$1 architecture=$2
    shift 2
    mkdir -p "$directory/lists/partial" "$directory/archives/partial"
    sources "$@" >"$directory/sources.list"
    {
        apt_options
        cat <<EOF
Dir::Etc::SourceList "$directory/sources.list";
Dir::Etc::SourceParts "-";
Dir::State::Lists "$directory/lists";
Dir::State::Status "/dev/null";
Dir::Cache "$directory";
APT::Architecture "$architecture";
APT::Architectures { "$architecture"; };
APT::Sandbox::User "root";
Acquire::Languages "none";
EOF
    } >"$directory/apt.conf"
    export APT_CONFIG=$directory/apt.conf
    step "reading the package lists of $* ($architecture)" nice -n 5 apt-get update -q
}

# words FILE: a package list without its comments.
words() { sed 's/#.*//' "$1" | awk 'NF { print $1 }'; }
