# Completion of onehop's options for bash.  The options are those that the
# program itself names.

_onehop()
{
	local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}

	COMPREPLY=()
	case $previous in
	-C | --file | --*-file | --logfile | --aliases | --files-path)
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		return
		;;
	esac
	case $word in
	-*)
		mapfile -t COMPREPLY < <(compgen -W "$("$1" --help 2>/dev/null |
		    grep -o -e '--[a-z][a-z0-9-]*' | sort -u)" -- "$word")
		;;
	esac
}

complete -F _onehop onehop
