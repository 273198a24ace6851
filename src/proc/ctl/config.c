/* config.c: `mansio config check` and `config show`: the configuration as the server would read it. Both work without a
 * server; check says everything that is wrong at once. */
#include "proc/ctl/ctl_private.h"

#include "base/checked.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "loop/tls.h"
#include "proc/store_folder.h"

#include <fcntl.h>
#include <unistd.h>

#define PEM_MAX      (1024 * 1024)
#define PROBLEMS_MAX (256 * 1024)
#define SHOWN_MAX    (1024 * 1024)

/* What is wrong: lines for people, or a JSON array. */
struct problems {
	const struct ctl *ctl;
	struct buf text;
	size_t n, warnings;
};

/* Good, but hardly meant. */
static void add_warning(struct problems *problems, enum conf_setting setting, const char *what)
{
	const struct ctl *ctl = problems->ctl;
	uint32_t line = ctl->conf.lines[setting];
	problems->warnings++;
	if (!ctl->json) {
		buf_addf(&problems->text, "%s:%u:1: warning: %s\n", ctl->config_file, (unsigned)line, what);
		return;
	}
	json_begin_object(&problems->text);
	json_field_string(&problems->text, "file", str_from_c(ctl->config_file));
	json_field_u64(&problems->text, "line", line);
	json_field_u64(&problems->text, "column", 1);
	json_field_string(&problems->text, "severity", STR("warning"));
	json_field_string(&problems->text, "text", str_from_c(what));
	json_end_object(&problems->text);
}

static void check_users(struct problems *problems, const struct conf *conf)
{
	struct store_owners owners;
	enum conf_setting setting = CONF_server_user;
	(void)store_owner_find(conf->server.user, conf->server.user_id, &owners.user, &owners.group);
	(void)store_owner_find(conf->server.network_user, conf->server.network_user_id, &owners.network_user,
	                       &owners.network_group);
	const char *what = store_owners_warning(&owners);
	if (owners.user != 0 && conf->lines[CONF_server_network_user] != CONF_LINE_DEFAULT)
		setting = CONF_server_network_user;
	if (what)
		add_warning(problems, setting, what);
}

static void add_problem(struct problems *problems, uint32_t line, uint32_t column, struct str text)
{
	problems->n++;
	if (!problems->ctl->json) {
		buf_addf(&problems->text, "%.*s\n", STR_ARG(text));
		return;
	}
	json_begin_object(&problems->text);
	json_field_string(&problems->text, "file", str_from_c(problems->ctl->config_file));
	json_field_u64(&problems->text, "line", line);
	json_field_u64(&problems->text, "column", column);
	json_field_string(&problems->text, "severity", STR("error"));
	json_field_string(&problems->text, "text", text);
	json_end_object(&problems->text);
}

static void add_file_problem(struct problems *problems, enum conf_setting setting, struct str what)
{
	const struct ctl *ctl = problems->ctl;
	struct buf text = BUF_INIT(CONTROL_ARGUMENT_MAX * 3);
	uint32_t line = ctl->conf.lines[setting];
	buf_addf(&text, "%s:%u:1: %.*s", ctl->config_file, (unsigned)line, STR_ARG(what));
	add_problem(problems, line, 1, buf_str(&text));
	buf_free(&text);
}

/* A file that a setting names, wholly. */
static bool read_named(struct problems *problems, enum conf_setting setting, struct str file, struct buf *out)
{
	struct buf text = BUF_INIT(CONTROL_ARGUMENT_MAX * 3);
	int err = file_read(AT_FDCWD, file.p, 0, out);
	if (err < 0) {
		buf_addf(&text, "cannot read %.*s: %s", STR_ARG(file), err_text(err));
		add_file_problem(problems, setting, buf_str(&text));
	}
	buf_free(&text);
	return err == 0;
}

/* What the server would find out at its start only. */
static void check_keys(struct problems *problems, const struct conf *conf)
{
	struct buf certificate = BUF_INIT(PEM_MAX), key = BUF_INIT(PEM_MAX);
	struct tls_context *trial;
	if (conf->tls.certificate.n == 0)
		return;
	bool readable = read_named(problems, CONF_tls_certificate, conf->tls.certificate, &certificate);
	if (read_named(problems, CONF_tls_key, conf->tls.key, &key) && readable) {
		struct buf text = BUF_INIT(CONTROL_ARGUMENT_MAX * 3);
		buf_addf(&text, "%.*s and %.*s are not PEM, or the key does not belong to the certificate",
		         STR_ARG(conf->tls.certificate), STR_ARG(conf->tls.key));
		if (tls_context_new(buf_str(&certificate), buf_str(&key), (int)conf->tls.minimum_version, &trial) == 0)
			tls_context_free(&trial);
		else
			add_file_problem(problems, CONF_tls_certificate, buf_str(&text));
		buf_free(&text);
	}
	mem_wipe(key.p, key.n);
	buf_free(&certificate);
	buf_free(&key);
}

static void check_all(struct problems *problems, struct ctl *ctl)
{
	struct conf_errors errors;
	if (conf_parse(buf_str(&ctl->conf_text), str_from_c(ctl->config_file), &ctl->conf, &errors) == 0) {
		check_keys(problems, &ctl->conf);
		check_users(problems, &ctl->conf);
	}
	for (size_t i = 0; i < errors.n; i++)
		add_problem(problems, errors.list[i].line, errors.list[i].column, errors.list[i].text);
	if (errors.omitted > 0)
		add_problem(problems, 0, 0, STR("there are more errors"));
	conf_errors_free(&errors);
}

int ctl_run_config_check(struct ctl *ctl, const struct ctl_command *command)
{
	struct problems problems = { .ctl = ctl, .text = BUF_INIT(PROBLEMS_MAX) };
	if (ctl->n_arguments > 0) {
		ctl->config_file = ctl->arguments[0].p;
		ctl->config_given = true;
	}
	int result = ctl_read_configuration(ctl);
	if (result != EXIT_DONE)
		return result;
	if (ctl->json)
		json_begin_array(&problems.text);
	check_all(&problems, ctl);
	if (ctl->json)
		json_end_array(&problems.text);
	if (ctl->json)
		printf("%.*s\n", STR_ARG(buf_str(&problems.text)));
	else
		fprintf(stderr, "%.*s", STR_ARG(buf_str(&problems.text)));
	if (!ctl->json && problems.n == 0)
		printf("%s: %s\n", ctl->config_file,
		       access(ctl->config_file, F_OK) != 0 ? "there is none, and the defaults are in force"
		       : problems.warnings > 0             ? "good, with warnings"
		                                           : "good");
	buf_free(&problems.text);
	return problems.n > 0 ? EXIT_CONFIG : EXIT_DONE;
}

int ctl_run_config_show(struct ctl *ctl, const struct ctl_command *command)
{
	struct buf shown = BUF_INIT(SHOWN_MAX);
	if (conf_apply_environment(&ctl->conf) != 0)
		return ctl_fail(ctl, EXIT_CONFIG, "config", STR("MANSIO_SANDBOX in the environment is neither on nor off"));
	if (ctl->json) {
		conf_print_effective_json(&ctl->conf, &shown);
		buf_add_byte(&shown, '\n');
	} else {
		conf_print_effective(&ctl->conf, &shown);
	}
	printf("%.*s", STR_ARG(buf_str(&shown)));
	buf_free(&shown);
	return EXIT_DONE;
}
