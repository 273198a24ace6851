/* options.c: the options of the command line: which there are, which the user gave, and which go with a command. They
 * may stand anywhere, before it is known which command it is; so each is known to all, and refused afterwards where it
 * means nothing. */
#include "proc/ctl/ctl_private.h"

#include "base/checked.h"

static const struct {
	struct str name;
	bool takes_value;
} OPTIONS[] = {
	{ STR_INIT("--account"), true },
	{ STR_INIT("--address"), true },
	{ STR_INIT("--again"), false },
	{ STR_INIT("--all"), false },
	{ STR_INIT("--app-password"), true },
	{ STR_INIT("--at"), true },
	{ STR_INIT("--days"), true },
	{ STR_INIT("--deleted"), true },
	{ STR_INIT("--dry-run"), false },
	{ STR_INIT("--from"), true },
	{ STR_INIT("--bytes"), true },
	{ STR_INIT("--format"), true },
	{ STR_INIT("--generate-password"), false },
	{ STR_INIT("--id"), true },
	{ STR_INIT("--keep"), true },
	{ STR_INIT("--layout"), true },
	{ STR_INIT("--leave-out"), true },
	{ STR_INIT("--mailbox"), true },
	{ STR_INIT("--message"), true },
	{ STR_INIT("--messages"), true },
	{ STR_INIT("--mode"), true },
	{ STR_INIT("--password-file"), true },
	{ STR_INIT("--protocols"), true },
	{ STR_INIT("--seen"), true },
	{ STR_INIT("--shard"), true },
	{ STR_INIT("--since"), true },
	{ STR_INIT("--state"), true },
	{ STR_INIT("--to"), true },
	{ STR_INIT("--uidl"), true },
	{ STR_INIT("--uidl-file"), true },
	{ STR_INIT("--yes"), false },
};

/* Options that go with every command. */
static bool read_common(struct ctl *ctl, struct str name, struct str value)
{
	if (str_eq(name, STR("--config"))) {
		ctl->config_file = value.p;
		ctl->config_given = true;
	} else if (str_eq(name, STR("--json"))) {
		ctl->json = true;
	} else if (str_eq(name, STR("--help"))) {
		ctl->help = true;
	} else if (str_eq(name, STR("--version"))) {
		ctl->version = true;
	} else {
		return false;
	}
	return true;
}

static struct str long_name(struct str name)
{
	if (str_eq(name, STR("-c")))
		return STR("--config");
	if (str_eq(name, STR("-h")))
		return STR("--help");
	if (str_eq(name, STR("-y")))
		return STR("--yes");
	return name;
}

/* Whether there is such an option, and whether it takes a value. */
static bool find_option(struct str name, bool *takes_value)
{
	*takes_value = str_eq(name, STR("--config"));
	if (*takes_value || str_eq(name, STR("--json")) || str_eq(name, STR("--help")) || str_eq(name, STR("--version")))
		return true;
	for (size_t i = 0; i < COUNT_OF(OPTIONS); i++)
		if (str_eq(name, OPTIONS[i].name)) {
			*takes_value = OPTIONS[i].takes_value;
			return true;
		}
	return false;
}

int ctl_read_option(struct ctl *ctl, int argc, char **argv, int *at)
{
	struct str value = { NULL, 0 }, written = str_from_c(argv[*at]), name = written;
	bool takes_value;
	if (str_starts(written, STR("--"))) {
		value = written;
		written = str_cut(&value, '=');
	}
	name = long_name(written);
	if (!find_option(name, &takes_value))
		return ctl_usage(ctl, "unknown option %.*s (see mansio --help)", written);
	if (!takes_value && value.p)
		return ctl_usage(ctl, "the option %.*s takes no value", written);
	if (takes_value && !value.p) {
		if (*at + 1 >= argc)
			return ctl_usage(ctl, "the option %.*s needs a value", written);
		value = str_from_c(argv[++*at]);
	}
	if (takes_value && value.n == 0)
		return ctl_usage(ctl, "the option %.*s needs a value", written);
	if (value.n > CONTROL_ARGUMENT_MAX)
		return ctl_usage(ctl, "the value of %.*s is too long", written);
	if (read_common(ctl, name, value))
		return EXIT_DONE;
	if (ctl->n_options == CTL_OPTIONS_MAX)
		return ctl_usage(ctl, "too many options, from %.*s on", written);
	ctl->options[ctl->n_options++] = (struct ctl_option){ name, value };
	return EXIT_DONE;
}

/* Whether `name` is one of the words of `list`. */
static bool is_listed(const char *list, struct str name)
{
	struct str rest = str_from_c(list ? list : "");
	while (rest.n > 0)
		if (str_eq(str_cut(&rest, ' '), name))
			return true;
	return false;
}

/* --yes may stand everywhere: scripts say it without looking which command would ask. */
int ctl_check_options(struct ctl *ctl, const struct ctl_command *command)
{
	for (uint32_t i = 0; i < ctl->n_options; i++)
		if (!is_listed(command->options, ctl->options[i].name) && !str_eq(ctl->options[i].name, STR("--yes")))
			return ctl_usage(ctl, "this command has no option %.*s (add --help to see what it has)",
			                 ctl->options[i].name);
	return EXIT_DONE;
}

struct str ctl_option(const struct ctl *ctl, const char *name)
{
	for (uint32_t i = ctl->n_options; i > 0; i--)
		if (str_eq(ctl->options[i - 1].name, str_from_c(name)))
			return ctl->options[i - 1].value;
	return (struct str){ NULL, 0 };
}

uint32_t ctl_options(const struct ctl *ctl, const char *name, struct str *values, uint32_t max)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < ctl->n_options; i++)
		if (str_eq(ctl->options[i].name, str_from_c(name))) {
			if (n < max)
				values[n] = ctl->options[i].value;
			n++;
		}
	return n;
}

bool ctl_flag(const struct ctl *ctl, const char *name)
{
	return ctl_options(ctl, name, NULL, 0) > 0;
}
