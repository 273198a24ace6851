/* main.c: one binary. `mansio serve` is the supervisor, `mansio role NAME INDEX` one of its children, everything
 * else the command line. */
#include "proc/ctl/ctl.h"
#include "proc/roles.h"
#include "proc/supervisor/supervisor.h"

#include "ipc/supervisor.h"

#define EXIT_USAGE 64

static int role_by_name(struct str name)
{
	static int (*const mains[ROLE_COUNT])(void) = {
		[ROLE_ACCESS] = access_main,     [ROLE_SMTP] = smtp_main,   [ROLE_AUTH] = auth_main,
		[ROLE_AUTHWORK] = authwork_main, [ROLE_SHARD] = shard_main,
	};
	for (unsigned i = 0; i < ROLE_COUNT; i++) {
		if (mains[i] && str_eq(name, role_name((enum role)i)))
			return mains[i]();
	}
	fprintf(stderr, "mansio: no such role: %.*s\n", STR_ARG(name));
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	struct str command = argc > 1 ? str_from_c(argv[1]) : STR("");
	if (str_eq(command, STR("serve")))
		return supervisor_main(argc - 1, argv + 1);
	if (str_eq(command, STR("role")) && argc > 2)
		return role_by_name(str_from_c(argv[2]));
	return ctl_main(argc, argv);
}
