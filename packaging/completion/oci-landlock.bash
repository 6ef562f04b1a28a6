# SPDX-License-Identifier: Apache-2.0
# Completion for bash; works with and without the bash-completion package.
_oci_landlock()
{
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} words=
    COMPREPLY=()
    # To bash the sign between an option and its value is a word of its own.
    if [ "$current" = = ]; then
        current=
    elif [ "$previous" = = ]; then
        previous=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    if [ "$COMP_CWORD" -eq 1 ]; then
        words='hook check run schema load unload status inspect ps events learn metrics doctor node nri supervise'
        words+=' --help --version'
    else
        case ${COMP_WORDS[1]}:$previous in
        check:--abi | check:--port) return ;;
        check:--can)
            words='execute write_file read_file read_dir remove_dir remove_file make_char make_dir make_reg'
            words+=' make_sock make_fifo make_block make_sym truncate ioctl_dev resolve_unix bind_tcp connect_tcp'
            words+=' bind_udp connect_send_udp abstract_unix_socket signal'
            mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current") && return
            ;;
        learn:--annotation | learn:--collapse) return ;;
        learn:--into) mapfile -t COMPREPLY < <(compgen -d -- "$current") && return ;;
        learn:--output | learn:--program) mapfile -t COMPREPLY < <(compgen -f -- "$current") && return ;;
        check:--against) mapfile -t COMPREPLY < <(compgen -f -- "$current") && return ;;
        check:--path) mapfile -t COMPREPLY < <(compgen -f -- "$current") && return ;;
        check:--applier) mapfile -t COMPREPLY < <(compgen -W 'kfunc inject launch' -- "$current") && return ;;
        load:--applier) mapfile -t COMPREPLY < <(compgen -W 'auto kfunc inject' -- "$current") && return ;;
        events:--kind)
            words='applied audited created denied failedClosed lost partial removed wouldDeny'
            mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current") && return
            ;;
        events:--source)
            mapfile -t COMPREPLY < <(compgen -W 'tracepoints hooks audit' -- "$current") && return
            ;;
        events:--container | events:--count | events:--listen | events:--share | events:--since) return ;;
        node:--containerd) mapfile -t COMPREPLY < <(compgen -f -- "$current") && return ;;
        node:--directory | node:--profiles | node:--root)
            mapfile -t COMPREPLY < <(compgen -d -- "$current") && return
            ;;
        nri:--index) return ;;
        nri:--socket) mapfile -t COMPREPLY < <(compgen -f -- "$current") && return ;;
        metrics:--output) mapfile -t COMPREPLY < <(compgen -f -- "$current") && return ;;
        run:--entry) return ;;
        run:--profile) mapfile -t COMPREPLY < <(compgen -f -- "$current") && return ;;
        check:--bundle | check:--profiles) mapfile -t COMPREPLY < <(compgen -d -- "$current") && return ;;
        esac
        case ${COMP_WORDS[1]} in
        hook) words='createRuntime prestart poststart poststop --help' ;;
        check)
            words='--abi --against --applier --bundle --can --compose --help --json --kernel --path --port --profiles'
            [[ $current == -* ]] || { mapfile -t COMPREPLY < <(compgen -f -- "$current") && return; }
            ;;
        run)
            words='--entry --help --profile'
            [[ $current == -* ]] || { mapfile -t COMPREPLY < <(compgen -A command -A file -- "$current") && return; }
            ;;
        schema) words='--help' ;;
        supervise) words='--check --help' ;;
        load) words='--applier --check --help' ;;
        events) words='--container --count --help --json --kind --listen --share --since --source' ;;
        learn)
            words='--annotation --collapse --explain --help --incomplete --into --no-use --omit --output --program'
            words+=' --toml'
            if [ "$COMP_CWORD" -eq 2 ]; then
                words+=' record start stop profile'
            elif [[ $current != -* ]]; then
                mapfile -t COMPREPLY < <(compgen -f -- "$current") && return
            fi
            ;;
        metrics) words='--help --output' ;;
        node)
            words='--containerd --directory --help --profiles --root'
            [ "$COMP_CWORD" -ne 2 ] || words+=' install remove wait'
            ;;
        nri) words='--help --index --socket' ;;
        unload) words='--force --help' ;;
        doctor | inspect | ps | status) words='--help --json' ;;
        esac
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -o filenames -F _oci_landlock oci-landlock
