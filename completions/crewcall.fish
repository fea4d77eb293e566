# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_crewcall_global_optspecs
    string join \n context= n/namespace= color= q/quiet v/verbose h/help V/version
end

function __fish_crewcall_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_crewcall_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_crewcall_using_subcommand
    set -l cmd (__fish_crewcall_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c crewcall -n "__fish_crewcall_needs_command" -l context -d 'Kubernetes: the context of the kubeconfig [default: the current one]. `kube:NAME` leaves clusters there to its operator, `kube:` alone to that of the current context; `local` is this machine\'s controller' -r
complete -c crewcall -n "__fish_crewcall_needs_command" -s n -l namespace -d 'Kubernetes: the namespace [default: the document\'s, then the context\'s]' -r
complete -c crewcall -n "__fish_crewcall_needs_command" -l color -d 'Colour in what is printed; `auto` obeys `NO_COLOR` and `CLICOLOR_FORCE`, and asks whether a terminal reads it' -r -f -a "auto\t'As environment and terminal say'
always\t'Always'
never\t'Never'"
complete -c crewcall -n "__fish_crewcall_needs_command" -s q -l quiet -d 'Say nothing but results and errors'
complete -c crewcall -n "__fish_crewcall_needs_command" -s v -l verbose -d 'Say what is done; twice: every decision and call'
complete -c crewcall -n "__fish_crewcall_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crewcall -n "__fish_crewcall_needs_command" -s V -l version -d 'Print version'
complete -c crewcall -n "__fish_crewcall_needs_command" -f -a "create" -d 'Create the cluster that a document describes, or bring it up to date'
complete -c crewcall -n "__fish_crewcall_needs_command" -f -a "list" -d 'List the clusters'
complete -c crewcall -n "__fish_crewcall_needs_command" -f -a "ls" -d 'List the clusters'
complete -c crewcall -n "__fish_crewcall_needs_command" -f -a "get" -d 'Show one cluster, in a line or, with `-o yaml`, with everything that is known of it'
complete -c crewcall -n "__fish_crewcall_needs_command" -f -a "describe" -d 'Show one cluster for people: conditions, groups, nodes, software, the last events'
complete -c crewcall -n "__fish_crewcall_needs_command" -f -a "events" -d 'Show what happened to a cluster, oldest first'
complete -c crewcall -n "__fish_crewcall_needs_command" -f -a "logs" -d 'Show what scheduler and workers have logged, also of nodes that have ended'
complete -c crewcall -n "__fish_crewcall_needs_command" -f -a "scale" -d 'Change the number of workers of a group, and wait until it is so'
complete -c crewcall -n "__fish_crewcall_needs_command" -f -a "run" -d 'Run a program that connects to a cluster by itself: a bare `Client()` in it is enough'
complete -c crewcall -n "__fish_crewcall_needs_command" -f -a "env" -d 'Print the variables with which a bare `Client()` connects to a cluster'
complete -c crewcall -n "__fish_crewcall_needs_command" -f -a "dashboard" -d 'Open a cluster\'s dashboard in the browser'
complete -c crewcall -n "__fish_crewcall_needs_command" -f -a "delete" -d 'Delete clusters with all that belongs to them, and wait until they are gone'
complete -c crewcall -n "__fish_crewcall_needs_command" -f -a "doctor" -d 'Check what clusters need: Python, directories, the controller, leftovers; on EC2 also the account'
complete -c crewcall -n "__fish_crewcall_needs_command" -f -a "gc" -d 'Remove what belongs to no cluster any more'
complete -c crewcall -n "__fish_crewcall_needs_command" -f -a "schema" -d 'Print the JSON Schema of documents'
complete -c crewcall -n "__fish_crewcall_needs_command" -f -a "completions" -d 'Print the script that completes commands in a shell'
complete -c crewcall -n "__fish_crewcall_needs_command" -f -a "man" -d 'Print a manual page'
complete -c crewcall -n "__fish_crewcall_needs_command" -f -a "controller" -d 'Look at, or end, the controller on this machine'
complete -c crewcall -n "__fish_crewcall_needs_command" -f -a "operator" -d 'Run the controller within Kubernetes, for clusters that are custom resources'
complete -c crewcall -n "__fish_crewcall_using_subcommand create" -s f -l file -d 'The document; `-` reads it from standard input' -r -F
complete -c crewcall -n "__fish_crewcall_using_subcommand create" -l timeout -d 'How long to wait (`90s`, `10m`, `1h30m`) [default: the document\'s waitFor.timeout, else 10m]' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand create" -s o -l output -d 'How to report: `json` prints one object per line while it goes on' -r -f -a "json\t'One JSON object per line, the last with the result'
name\t'The cluster\'s name alone'"
complete -c crewcall -n "__fish_crewcall_using_subcommand create" -l merge -d 'For programs: a JSON object in this file, whose fields go over those of the document (a merge patch: `null` takes a field away); `-` reads it from standard input' -r -F
complete -c crewcall -n "__fish_crewcall_using_subcommand create" -l owner -d 'For programs: stay, and delete the cluster when the process of this id ends, or when this one gets SIGINT. On SIGTERM the cluster is left as it is, as is one that was there before' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand create" -l python -d 'The caller\'s Python [default: the active one]' -r -F
complete -c crewcall -n "__fish_crewcall_using_subcommand create" -l import-path -d 'A directory that the caller imports modules from; may be repeated [default: this directory and those of `PYTHONPATH`]' -r -f -a "(__fish_complete_directories)"
complete -c crewcall -n "__fish_crewcall_using_subcommand create" -l context -d 'Kubernetes: the context of the kubeconfig [default: the current one]. `kube:NAME` leaves clusters there to its operator, `kube:` alone to that of the current context; `local` is this machine\'s controller' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand create" -s n -l namespace -d 'Kubernetes: the namespace [default: the document\'s, then the context\'s]' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand create" -l color -d 'Colour in what is printed; `auto` obeys `NO_COLOR` and `CLICOLOR_FORCE`, and asks whether a terminal reads it' -r -f -a "auto\t'As environment and terminal say'
always\t'Always'
never\t'Never'"
complete -c crewcall -n "__fish_crewcall_using_subcommand create" -l no-wait -d 'Return as soon as the document is accepted'
complete -c crewcall -n "__fish_crewcall_using_subcommand create" -l dry-run -d 'Change nothing; say what would be changed'
complete -c crewcall -n "__fish_crewcall_using_subcommand create" -l replace -d 'Where the cluster cannot be changed while it lives, delete it and create it anew. Its results are lost'
complete -c crewcall -n "__fish_crewcall_using_subcommand create" -s q -l quiet -d 'Say nothing but results and errors'
complete -c crewcall -n "__fish_crewcall_using_subcommand create" -s v -l verbose -d 'Say what is done; twice: every decision and call'
complete -c crewcall -n "__fish_crewcall_using_subcommand create" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crewcall -n "__fish_crewcall_using_subcommand list" -s o -l output -d 'How to print it [default: a table]' -r -f -a "json\t'JSON, complete'
yaml\t'YAML, complete'
wide\t'A table with more columns'
name\t'Names alone, one a line'"
complete -c crewcall -n "__fish_crewcall_using_subcommand list" -l context -d 'Kubernetes: the context of the kubeconfig [default: the current one]. `kube:NAME` leaves clusters there to its operator, `kube:` alone to that of the current context; `local` is this machine\'s controller' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand list" -s n -l namespace -d 'Kubernetes: the namespace [default: the document\'s, then the context\'s]' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand list" -l color -d 'Colour in what is printed; `auto` obeys `NO_COLOR` and `CLICOLOR_FORCE`, and asks whether a terminal reads it' -r -f -a "auto\t'As environment and terminal say'
always\t'Always'
never\t'Never'"
complete -c crewcall -n "__fish_crewcall_using_subcommand list" -s q -l quiet -d 'Say nothing but results and errors'
complete -c crewcall -n "__fish_crewcall_using_subcommand list" -s v -l verbose -d 'Say what is done; twice: every decision and call'
complete -c crewcall -n "__fish_crewcall_using_subcommand list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crewcall -n "__fish_crewcall_using_subcommand ls" -s o -l output -d 'How to print it [default: a table]' -r -f -a "json\t'JSON, complete'
yaml\t'YAML, complete'
wide\t'A table with more columns'
name\t'Names alone, one a line'"
complete -c crewcall -n "__fish_crewcall_using_subcommand ls" -l context -d 'Kubernetes: the context of the kubeconfig [default: the current one]. `kube:NAME` leaves clusters there to its operator, `kube:` alone to that of the current context; `local` is this machine\'s controller' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand ls" -s n -l namespace -d 'Kubernetes: the namespace [default: the document\'s, then the context\'s]' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand ls" -l color -d 'Colour in what is printed; `auto` obeys `NO_COLOR` and `CLICOLOR_FORCE`, and asks whether a terminal reads it' -r -f -a "auto\t'As environment and terminal say'
always\t'Always'
never\t'Never'"
complete -c crewcall -n "__fish_crewcall_using_subcommand ls" -s q -l quiet -d 'Say nothing but results and errors'
complete -c crewcall -n "__fish_crewcall_using_subcommand ls" -s v -l verbose -d 'Say what is done; twice: every decision and call'
complete -c crewcall -n "__fish_crewcall_using_subcommand ls" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crewcall -n "__fish_crewcall_using_subcommand get" -s o -l output -d 'How to print it [default: a table]' -r -f -a "json\t'JSON, complete'
yaml\t'YAML, complete'
wide\t'A table with more columns'
name\t'Names alone, one a line'"
complete -c crewcall -n "__fish_crewcall_using_subcommand get" -l context -d 'Kubernetes: the context of the kubeconfig [default: the current one]. `kube:NAME` leaves clusters there to its operator, `kube:` alone to that of the current context; `local` is this machine\'s controller' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand get" -s n -l namespace -d 'Kubernetes: the namespace [default: the document\'s, then the context\'s]' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand get" -l color -d 'Colour in what is printed; `auto` obeys `NO_COLOR` and `CLICOLOR_FORCE`, and asks whether a terminal reads it' -r -f -a "auto\t'As environment and terminal say'
always\t'Always'
never\t'Never'"
complete -c crewcall -n "__fish_crewcall_using_subcommand get" -s q -l quiet -d 'Say nothing but results and errors'
complete -c crewcall -n "__fish_crewcall_using_subcommand get" -s v -l verbose -d 'Say what is done; twice: every decision and call'
complete -c crewcall -n "__fish_crewcall_using_subcommand get" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crewcall -n "__fish_crewcall_using_subcommand describe" -l context -d 'Kubernetes: the context of the kubeconfig [default: the current one]. `kube:NAME` leaves clusters there to its operator, `kube:` alone to that of the current context; `local` is this machine\'s controller' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand describe" -s n -l namespace -d 'Kubernetes: the namespace [default: the document\'s, then the context\'s]' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand describe" -l color -d 'Colour in what is printed; `auto` obeys `NO_COLOR` and `CLICOLOR_FORCE`, and asks whether a terminal reads it' -r -f -a "auto\t'As environment and terminal say'
always\t'Always'
never\t'Never'"
complete -c crewcall -n "__fish_crewcall_using_subcommand describe" -s q -l quiet -d 'Say nothing but results and errors'
complete -c crewcall -n "__fish_crewcall_using_subcommand describe" -s v -l verbose -d 'Say what is done; twice: every decision and call'
complete -c crewcall -n "__fish_crewcall_using_subcommand describe" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crewcall -n "__fish_crewcall_using_subcommand events" -l tail -d 'At most so many of the newest' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand events" -s o -l output -d 'How to print them: `json` prints one object per line [default: a table]' -r -f -a "json\t'One JSON object per line'"
complete -c crewcall -n "__fish_crewcall_using_subcommand events" -l context -d 'Kubernetes: the context of the kubeconfig [default: the current one]. `kube:NAME` leaves clusters there to its operator, `kube:` alone to that of the current context; `local` is this machine\'s controller' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand events" -s n -l namespace -d 'Kubernetes: the namespace [default: the document\'s, then the context\'s]' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand events" -l color -d 'Colour in what is printed; `auto` obeys `NO_COLOR` and `CLICOLOR_FORCE`, and asks whether a terminal reads it' -r -f -a "auto\t'As environment and terminal say'
always\t'Always'
never\t'Never'"
complete -c crewcall -n "__fish_crewcall_using_subcommand events" -s f -l follow -d 'Go on with what happens from now on, until the cluster is gone'
complete -c crewcall -n "__fish_crewcall_using_subcommand events" -s q -l quiet -d 'Say nothing but results and errors'
complete -c crewcall -n "__fish_crewcall_using_subcommand events" -s v -l verbose -d 'Say what is done; twice: every decision and call'
complete -c crewcall -n "__fish_crewcall_using_subcommand events" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crewcall -n "__fish_crewcall_using_subcommand logs" -l tail -d 'Only the last so many lines of each node' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand logs" -l context -d 'Kubernetes: the context of the kubeconfig [default: the current one]. `kube:NAME` leaves clusters there to its operator, `kube:` alone to that of the current context; `local` is this machine\'s controller' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand logs" -s n -l namespace -d 'Kubernetes: the namespace [default: the document\'s, then the context\'s]' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand logs" -l color -d 'Colour in what is printed; `auto` obeys `NO_COLOR` and `CLICOLOR_FORCE`, and asks whether a terminal reads it' -r -f -a "auto\t'As environment and terminal say'
always\t'Always'
never\t'Never'"
complete -c crewcall -n "__fish_crewcall_using_subcommand logs" -s f -l follow -d 'Go on with what is logged from now on, until the nodes have ended'
complete -c crewcall -n "__fish_crewcall_using_subcommand logs" -s q -l quiet -d 'Say nothing but results and errors'
complete -c crewcall -n "__fish_crewcall_using_subcommand logs" -s v -l verbose -d 'Say what is done; twice: every decision and call'
complete -c crewcall -n "__fish_crewcall_using_subcommand logs" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crewcall -n "__fish_crewcall_using_subcommand scale" -s g -l group -d 'The group' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand scale" -l min -d 'Adaptive: at least so many [default: 0]' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand scale" -l max -d 'Adaptive: at most so many' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand scale" -l timeout -d 'How long to wait [default: what the document gives workers to start and to hand over]' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand scale" -s o -l output -d 'How to report: `json` prints one object per line while it goes on' -r -f -a "json\t'One JSON object per line, the last with the result'
name\t'The cluster\'s name alone'"
complete -c crewcall -n "__fish_crewcall_using_subcommand scale" -l context -d 'Kubernetes: the context of the kubeconfig [default: the current one]. `kube:NAME` leaves clusters there to its operator, `kube:` alone to that of the current context; `local` is this machine\'s controller' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand scale" -s n -l namespace -d 'Kubernetes: the namespace [default: the document\'s, then the context\'s]' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand scale" -l color -d 'Colour in what is printed; `auto` obeys `NO_COLOR` and `CLICOLOR_FORCE`, and asks whether a terminal reads it' -r -f -a "auto\t'As environment and terminal say'
always\t'Always'
never\t'Never'"
complete -c crewcall -n "__fish_crewcall_using_subcommand scale" -l force -d 'Remove workers also when nobody can take their results. Those are lost, and counted'
complete -c crewcall -n "__fish_crewcall_using_subcommand scale" -l no-wait -d 'Return as soon as the new size is accepted'
complete -c crewcall -n "__fish_crewcall_using_subcommand scale" -s q -l quiet -d 'Say nothing but results and errors'
complete -c crewcall -n "__fish_crewcall_using_subcommand scale" -s v -l verbose -d 'Say what is done; twice: every decision and call'
complete -c crewcall -n "__fish_crewcall_using_subcommand scale" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crewcall -n "__fish_crewcall_using_subcommand run" -l context -d 'Kubernetes: the context of the kubeconfig [default: the current one]. `kube:NAME` leaves clusters there to its operator, `kube:` alone to that of the current context; `local` is this machine\'s controller' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand run" -s n -l namespace -d 'Kubernetes: the namespace [default: the document\'s, then the context\'s]' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand run" -l color -d 'Colour in what is printed; `auto` obeys `NO_COLOR` and `CLICOLOR_FORCE`, and asks whether a terminal reads it' -r -f -a "auto\t'As environment and terminal say'
always\t'Always'
never\t'Never'"
complete -c crewcall -n "__fish_crewcall_using_subcommand run" -s q -l quiet -d 'Say nothing but results and errors'
complete -c crewcall -n "__fish_crewcall_using_subcommand run" -s v -l verbose -d 'Say what is done; twice: every decision and call'
complete -c crewcall -n "__fish_crewcall_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crewcall -n "__fish_crewcall_using_subcommand env" -l shell -d 'For which shell [default: the one that `SHELL` names, else bash]' -r -f -a "bash\t'bash, and other shells of its kind'
zsh\t'zsh'
fish\t'fish'
json\t'A JSON object; `null` takes a variable back'"
complete -c crewcall -n "__fish_crewcall_using_subcommand env" -l context -d 'Kubernetes: the context of the kubeconfig [default: the current one]. `kube:NAME` leaves clusters there to its operator, `kube:` alone to that of the current context; `local` is this machine\'s controller' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand env" -s n -l namespace -d 'Kubernetes: the namespace [default: the document\'s, then the context\'s]' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand env" -l color -d 'Colour in what is printed; `auto` obeys `NO_COLOR` and `CLICOLOR_FORCE`, and asks whether a terminal reads it' -r -f -a "auto\t'As environment and terminal say'
always\t'Always'
never\t'Never'"
complete -c crewcall -n "__fish_crewcall_using_subcommand env" -l unset -d 'Print what takes the variables back'
complete -c crewcall -n "__fish_crewcall_using_subcommand env" -s q -l quiet -d 'Say nothing but results and errors'
complete -c crewcall -n "__fish_crewcall_using_subcommand env" -s v -l verbose -d 'Say what is done; twice: every decision and call'
complete -c crewcall -n "__fish_crewcall_using_subcommand env" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crewcall -n "__fish_crewcall_using_subcommand dashboard" -l context -d 'Kubernetes: the context of the kubeconfig [default: the current one]. `kube:NAME` leaves clusters there to its operator, `kube:` alone to that of the current context; `local` is this machine\'s controller' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand dashboard" -s n -l namespace -d 'Kubernetes: the namespace [default: the document\'s, then the context\'s]' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand dashboard" -l color -d 'Colour in what is printed; `auto` obeys `NO_COLOR` and `CLICOLOR_FORCE`, and asks whether a terminal reads it' -r -f -a "auto\t'As environment and terminal say'
always\t'Always'
never\t'Never'"
complete -c crewcall -n "__fish_crewcall_using_subcommand dashboard" -l print -d 'Print the link and open nothing'
complete -c crewcall -n "__fish_crewcall_using_subcommand dashboard" -s q -l quiet -d 'Say nothing but results and errors'
complete -c crewcall -n "__fish_crewcall_using_subcommand dashboard" -s v -l verbose -d 'Say what is done; twice: every decision and call'
complete -c crewcall -n "__fish_crewcall_using_subcommand dashboard" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crewcall -n "__fish_crewcall_using_subcommand delete" -s f -l file -d 'The document of the cluster; `-` reads it from standard input' -r -F
complete -c crewcall -n "__fish_crewcall_using_subcommand delete" -l timeout -d 'How long to wait, in all' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand delete" -s o -l output -d 'How to report: `json` prints one object per line while it goes on' -r -f -a "json\t'One JSON object per line, the last with the result'
name\t'The cluster\'s name alone'"
complete -c crewcall -n "__fish_crewcall_using_subcommand delete" -l context -d 'Kubernetes: the context of the kubeconfig [default: the current one]. `kube:NAME` leaves clusters there to its operator, `kube:` alone to that of the current context; `local` is this machine\'s controller' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand delete" -s n -l namespace -d 'Kubernetes: the namespace [default: the document\'s, then the context\'s]' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand delete" -l color -d 'Colour in what is printed; `auto` obeys `NO_COLOR` and `CLICOLOR_FORCE`, and asks whether a terminal reads it' -r -f -a "auto\t'As environment and terminal say'
always\t'Always'
never\t'Never'"
complete -c crewcall -n "__fish_crewcall_using_subcommand delete" -l all -d 'Every cluster'
complete -c crewcall -n "__fish_crewcall_using_subcommand delete" -l no-wait -d 'Return as soon as the deletion is on record'
complete -c crewcall -n "__fish_crewcall_using_subcommand delete" -l ignore-not-found -d 'A cluster that is not there is deleted already'
complete -c crewcall -n "__fish_crewcall_using_subcommand delete" -s q -l quiet -d 'Say nothing but results and errors'
complete -c crewcall -n "__fish_crewcall_using_subcommand delete" -s v -l verbose -d 'Say what is done; twice: every decision and call'
complete -c crewcall -n "__fish_crewcall_using_subcommand delete" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crewcall -n "__fish_crewcall_using_subcommand doctor" -l provider -d 'Where clusters are to run [default: as the document says, else local]' -r -f -a "local\t'This machine'
ec2\t'An account of AWS: credentials, permissions, quotas, network, image. Nothing is left there'"
complete -c crewcall -n "__fish_crewcall_using_subcommand doctor" -s f -l file -d 'The document of a cluster: what it needs is looked at. `-` reads it from standard input' -r -F
complete -c crewcall -n "__fish_crewcall_using_subcommand doctor" -s o -l output -d 'How to print it [default: for people]' -r -f -a "json\t'JSON'
yaml\t'YAML'"
complete -c crewcall -n "__fish_crewcall_using_subcommand doctor" -l context -d 'Kubernetes: the context of the kubeconfig [default: the current one]. `kube:NAME` leaves clusters there to its operator, `kube:` alone to that of the current context; `local` is this machine\'s controller' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand doctor" -s n -l namespace -d 'Kubernetes: the namespace [default: the document\'s, then the context\'s]' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand doctor" -l color -d 'Colour in what is printed; `auto` obeys `NO_COLOR` and `CLICOLOR_FORCE`, and asks whether a terminal reads it' -r -f -a "auto\t'As environment and terminal say'
always\t'Always'
never\t'Never'"
complete -c crewcall -n "__fish_crewcall_using_subcommand doctor" -s q -l quiet -d 'Say nothing but results and errors'
complete -c crewcall -n "__fish_crewcall_using_subcommand doctor" -s v -l verbose -d 'Say what is done; twice: every decision and call'
complete -c crewcall -n "__fish_crewcall_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crewcall -n "__fish_crewcall_using_subcommand gc" -l provider -d 'Look there, too [default: where this machine\'s clusters are]' -r -f -a "local\t'This machine'
ec2\t'An account of AWS: credentials, permissions, quotas, network, image. Nothing is left there'"
complete -c crewcall -n "__fish_crewcall_using_subcommand gc" -s f -l file -d 'Look also where the cluster of this document would be. `-` reads it from standard input' -r -F
complete -c crewcall -n "__fish_crewcall_using_subcommand gc" -s o -l output -d 'How to print it [default: for people]' -r -f -a "json\t'JSON'
yaml\t'YAML'"
complete -c crewcall -n "__fish_crewcall_using_subcommand gc" -l context -d 'Kubernetes: the context of the kubeconfig [default: the current one]. `kube:NAME` leaves clusters there to its operator, `kube:` alone to that of the current context; `local` is this machine\'s controller' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand gc" -s n -l namespace -d 'Kubernetes: the namespace [default: the document\'s, then the context\'s]' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand gc" -l color -d 'Colour in what is printed; `auto` obeys `NO_COLOR` and `CLICOLOR_FORCE`, and asks whether a terminal reads it' -r -f -a "auto\t'As environment and terminal say'
always\t'Always'
never\t'Never'"
complete -c crewcall -n "__fish_crewcall_using_subcommand gc" -l dry-run -d 'Remove nothing; say what would be removed'
complete -c crewcall -n "__fish_crewcall_using_subcommand gc" -s q -l quiet -d 'Say nothing but results and errors'
complete -c crewcall -n "__fish_crewcall_using_subcommand gc" -s v -l verbose -d 'Say what is done; twice: every decision and call'
complete -c crewcall -n "__fish_crewcall_using_subcommand gc" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crewcall -n "__fish_crewcall_using_subcommand schema" -l context -d 'Kubernetes: the context of the kubeconfig [default: the current one]. `kube:NAME` leaves clusters there to its operator, `kube:` alone to that of the current context; `local` is this machine\'s controller' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand schema" -s n -l namespace -d 'Kubernetes: the namespace [default: the document\'s, then the context\'s]' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand schema" -l color -d 'Colour in what is printed; `auto` obeys `NO_COLOR` and `CLICOLOR_FORCE`, and asks whether a terminal reads it' -r -f -a "auto\t'As environment and terminal say'
always\t'Always'
never\t'Never'"
complete -c crewcall -n "__fish_crewcall_using_subcommand schema" -l crd -d 'Print the custom resource definition for Kubernetes instead, as YAML for `kubectl apply -f -`'
complete -c crewcall -n "__fish_crewcall_using_subcommand schema" -s q -l quiet -d 'Say nothing but results and errors'
complete -c crewcall -n "__fish_crewcall_using_subcommand schema" -s v -l verbose -d 'Say what is done; twice: every decision and call'
complete -c crewcall -n "__fish_crewcall_using_subcommand schema" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crewcall -n "__fish_crewcall_using_subcommand completions" -l context -d 'Kubernetes: the context of the kubeconfig [default: the current one]. `kube:NAME` leaves clusters there to its operator, `kube:` alone to that of the current context; `local` is this machine\'s controller' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand completions" -s n -l namespace -d 'Kubernetes: the namespace [default: the document\'s, then the context\'s]' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand completions" -l color -d 'Colour in what is printed; `auto` obeys `NO_COLOR` and `CLICOLOR_FORCE`, and asks whether a terminal reads it' -r -f -a "auto\t'As environment and terminal say'
always\t'Always'
never\t'Never'"
complete -c crewcall -n "__fish_crewcall_using_subcommand completions" -s q -l quiet -d 'Say nothing but results and errors'
complete -c crewcall -n "__fish_crewcall_using_subcommand completions" -s v -l verbose -d 'Say what is done; twice: every decision and call'
complete -c crewcall -n "__fish_crewcall_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crewcall -n "__fish_crewcall_using_subcommand man" -l context -d 'Kubernetes: the context of the kubeconfig [default: the current one]. `kube:NAME` leaves clusters there to its operator, `kube:` alone to that of the current context; `local` is this machine\'s controller' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand man" -s n -l namespace -d 'Kubernetes: the namespace [default: the document\'s, then the context\'s]' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand man" -l color -d 'Colour in what is printed; `auto` obeys `NO_COLOR` and `CLICOLOR_FORCE`, and asks whether a terminal reads it' -r -f -a "auto\t'As environment and terminal say'
always\t'Always'
never\t'Never'"
complete -c crewcall -n "__fish_crewcall_using_subcommand man" -s q -l quiet -d 'Say nothing but results and errors'
complete -c crewcall -n "__fish_crewcall_using_subcommand man" -s v -l verbose -d 'Say what is done; twice: every decision and call'
complete -c crewcall -n "__fish_crewcall_using_subcommand man" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crewcall -n "__fish_crewcall_using_subcommand controller; and not __fish_seen_subcommand_from status start stop logs" -l context -d 'Kubernetes: the context of the kubeconfig [default: the current one]. `kube:NAME` leaves clusters there to its operator, `kube:` alone to that of the current context; `local` is this machine\'s controller' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand controller; and not __fish_seen_subcommand_from status start stop logs" -s n -l namespace -d 'Kubernetes: the namespace [default: the document\'s, then the context\'s]' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand controller; and not __fish_seen_subcommand_from status start stop logs" -l color -d 'Colour in what is printed; `auto` obeys `NO_COLOR` and `CLICOLOR_FORCE`, and asks whether a terminal reads it' -r -f -a "auto\t'As environment and terminal say'
always\t'Always'
never\t'Never'"
complete -c crewcall -n "__fish_crewcall_using_subcommand controller; and not __fish_seen_subcommand_from status start stop logs" -s q -l quiet -d 'Say nothing but results and errors'
complete -c crewcall -n "__fish_crewcall_using_subcommand controller; and not __fish_seen_subcommand_from status start stop logs" -s v -l verbose -d 'Say what is done; twice: every decision and call'
complete -c crewcall -n "__fish_crewcall_using_subcommand controller; and not __fish_seen_subcommand_from status start stop logs" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crewcall -n "__fish_crewcall_using_subcommand controller; and not __fish_seen_subcommand_from status start stop logs" -f -a "status" -d 'Say whether it runs, since when, and where its files are'
complete -c crewcall -n "__fish_crewcall_using_subcommand controller; and not __fish_seen_subcommand_from status start stop logs" -f -a "start" -d 'Start it if none runs, and say the same as `status`'
complete -c crewcall -n "__fish_crewcall_using_subcommand controller; and not __fish_seen_subcommand_from status start stop logs" -f -a "stop" -d 'End it. Clusters live on; the next command starts another'
complete -c crewcall -n "__fish_crewcall_using_subcommand controller; and not __fish_seen_subcommand_from status start stop logs" -f -a "logs" -d 'Print its log'
complete -c crewcall -n "__fish_crewcall_using_subcommand controller; and __fish_seen_subcommand_from status" -s o -l output -d 'How to print it [default: for people]' -r -f -a "json\t'JSON'
yaml\t'YAML'"
complete -c crewcall -n "__fish_crewcall_using_subcommand controller; and __fish_seen_subcommand_from status" -l context -d 'Kubernetes: the context of the kubeconfig [default: the current one]. `kube:NAME` leaves clusters there to its operator, `kube:` alone to that of the current context; `local` is this machine\'s controller' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand controller; and __fish_seen_subcommand_from status" -s n -l namespace -d 'Kubernetes: the namespace [default: the document\'s, then the context\'s]' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand controller; and __fish_seen_subcommand_from status" -l color -d 'Colour in what is printed; `auto` obeys `NO_COLOR` and `CLICOLOR_FORCE`, and asks whether a terminal reads it' -r -f -a "auto\t'As environment and terminal say'
always\t'Always'
never\t'Never'"
complete -c crewcall -n "__fish_crewcall_using_subcommand controller; and __fish_seen_subcommand_from status" -s q -l quiet -d 'Say nothing but results and errors'
complete -c crewcall -n "__fish_crewcall_using_subcommand controller; and __fish_seen_subcommand_from status" -s v -l verbose -d 'Say what is done; twice: every decision and call'
complete -c crewcall -n "__fish_crewcall_using_subcommand controller; and __fish_seen_subcommand_from status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crewcall -n "__fish_crewcall_using_subcommand controller; and __fish_seen_subcommand_from start" -s o -l output -d 'How to print it [default: for people]' -r -f -a "json\t'JSON'
yaml\t'YAML'"
complete -c crewcall -n "__fish_crewcall_using_subcommand controller; and __fish_seen_subcommand_from start" -l context -d 'Kubernetes: the context of the kubeconfig [default: the current one]. `kube:NAME` leaves clusters there to its operator, `kube:` alone to that of the current context; `local` is this machine\'s controller' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand controller; and __fish_seen_subcommand_from start" -s n -l namespace -d 'Kubernetes: the namespace [default: the document\'s, then the context\'s]' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand controller; and __fish_seen_subcommand_from start" -l color -d 'Colour in what is printed; `auto` obeys `NO_COLOR` and `CLICOLOR_FORCE`, and asks whether a terminal reads it' -r -f -a "auto\t'As environment and terminal say'
always\t'Always'
never\t'Never'"
complete -c crewcall -n "__fish_crewcall_using_subcommand controller; and __fish_seen_subcommand_from start" -s q -l quiet -d 'Say nothing but results and errors'
complete -c crewcall -n "__fish_crewcall_using_subcommand controller; and __fish_seen_subcommand_from start" -s v -l verbose -d 'Say what is done; twice: every decision and call'
complete -c crewcall -n "__fish_crewcall_using_subcommand controller; and __fish_seen_subcommand_from start" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crewcall -n "__fish_crewcall_using_subcommand controller; and __fish_seen_subcommand_from stop" -l context -d 'Kubernetes: the context of the kubeconfig [default: the current one]. `kube:NAME` leaves clusters there to its operator, `kube:` alone to that of the current context; `local` is this machine\'s controller' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand controller; and __fish_seen_subcommand_from stop" -s n -l namespace -d 'Kubernetes: the namespace [default: the document\'s, then the context\'s]' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand controller; and __fish_seen_subcommand_from stop" -l color -d 'Colour in what is printed; `auto` obeys `NO_COLOR` and `CLICOLOR_FORCE`, and asks whether a terminal reads it' -r -f -a "auto\t'As environment and terminal say'
always\t'Always'
never\t'Never'"
complete -c crewcall -n "__fish_crewcall_using_subcommand controller; and __fish_seen_subcommand_from stop" -s q -l quiet -d 'Say nothing but results and errors'
complete -c crewcall -n "__fish_crewcall_using_subcommand controller; and __fish_seen_subcommand_from stop" -s v -l verbose -d 'Say what is done; twice: every decision and call'
complete -c crewcall -n "__fish_crewcall_using_subcommand controller; and __fish_seen_subcommand_from stop" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crewcall -n "__fish_crewcall_using_subcommand controller; and __fish_seen_subcommand_from logs" -l tail -d 'Only the last so many lines' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand controller; and __fish_seen_subcommand_from logs" -l context -d 'Kubernetes: the context of the kubeconfig [default: the current one]. `kube:NAME` leaves clusters there to its operator, `kube:` alone to that of the current context; `local` is this machine\'s controller' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand controller; and __fish_seen_subcommand_from logs" -s n -l namespace -d 'Kubernetes: the namespace [default: the document\'s, then the context\'s]' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand controller; and __fish_seen_subcommand_from logs" -l color -d 'Colour in what is printed; `auto` obeys `NO_COLOR` and `CLICOLOR_FORCE`, and asks whether a terminal reads it' -r -f -a "auto\t'As environment and terminal say'
always\t'Always'
never\t'Never'"
complete -c crewcall -n "__fish_crewcall_using_subcommand controller; and __fish_seen_subcommand_from logs" -s f -l follow -d 'Go on with what is logged from now on, also by the controllers that follow'
complete -c crewcall -n "__fish_crewcall_using_subcommand controller; and __fish_seen_subcommand_from logs" -s q -l quiet -d 'Say nothing but results and errors'
complete -c crewcall -n "__fish_crewcall_using_subcommand controller; and __fish_seen_subcommand_from logs" -s v -l verbose -d 'Say what is done; twice: every decision and call'
complete -c crewcall -n "__fish_crewcall_using_subcommand controller; and __fish_seen_subcommand_from logs" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crewcall -n "__fish_crewcall_using_subcommand operator" -s n -l namespace -d 'Look after the clusters of this namespace; more than once for several [default: all namespaces]' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand operator" -l port -d 'Where `/healthz`, `/readyz` and `/metrics` are served' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand operator" -l default-image -d 'The image of clusters that name none [default: such a cluster gets no nodes]' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand operator" -l log-format -d 'The form of log lines, which go to standard error' -r -f -a "text\t'For people'
json\t'One JSON object a line'"
complete -c crewcall -n "__fish_crewcall_using_subcommand operator" -l lease -d 'The Lease that one operator of several holds' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand operator" -l lease-namespace -d 'The namespace of that Lease [default: that of the operator\'s pod]' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand operator" -l context -d 'Kubernetes: the context of the kubeconfig [default: the current one]. `kube:NAME` leaves clusters there to its operator, `kube:` alone to that of the current context; `local` is this machine\'s controller' -r
complete -c crewcall -n "__fish_crewcall_using_subcommand operator" -l color -d 'Colour in what is printed; `auto` obeys `NO_COLOR` and `CLICOLOR_FORCE`, and asks whether a terminal reads it' -r -f -a "auto\t'As environment and terminal say'
always\t'Always'
never\t'Never'"
complete -c crewcall -n "__fish_crewcall_using_subcommand operator" -s q -l quiet -d 'Say nothing but results and errors'
complete -c crewcall -n "__fish_crewcall_using_subcommand operator" -s v -l verbose -d 'Say what is done; twice: every decision and call'
complete -c crewcall -n "__fish_crewcall_using_subcommand operator" -s h -l help -d 'Print help (see more with \'--help\')'
