/* start.c: what the server needs before it has children: configuration, users, host name, certificate, the store's
 * folder. Every problem is logged here, with what to do about it. */
#include "proc/supervisor/supervisor_private.h"

#include "base/checked.h"
#include "base/clock.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXIT_CONFIGURATION 78

static void log_problems(const struct conf_errors *errors)
{
	for (size_t i = 0; i < errors->n; i++)
		log_error("configuration", LOG_S("problem", errors->list[i].text));
	if (errors->omitted > 0)
		log_error("configuration", LOG_U("more-problems", errors->omitted));
}

int start_read_file(const struct supervisor *s, struct buf *out)
{
	int err = file_read(AT_FDCWD, s->conf_name.p, 0, out);
	return err == ERR_NOT_FOUND && s->conf_may_be_missing ? 0 : err;
}

int start_read_configuration(struct supervisor *s)
{
	struct conf_errors errors;
	s->conf_text = BUF_INIT(CONF_TEXT_MAX);
	int err = start_read_file(s, &s->conf_text);
	if (err != 0) {
		log_error("configuration", LOG_S("file", s->conf_name), LOG_ERR(err));
		return EXIT_CONFIGURATION;
	}
	err = conf_parse(buf_str(&s->conf_text), s->conf_name, &s->conf, &errors);
	if (err != 0)
		log_problems(&errors);
	conf_errors_free(&errors);
	if (err != 0)
		return EXIT_CONFIGURATION;
	if (conf_apply_environment(&s->conf) != 0) {
		log_error("configuration", LOG_C("problem", "MANSIO_SANDBOX in the environment is neither on nor off"));
		return EXIT_CONFIGURATION;
	}
	log_set_level(s->conf.server.log_level);
	if (!s->conf.server.sandbox)
		log_warning("sandbox-off", LOG_C("meaning", "the processes are not confined; for tests only"));
	return 0;
}

struct key_problem {
	struct str name;
	const struct conf *conf;
	struct buf *text;
};

/* As `mansio config check` says it. */
static void blame(void *owner, enum conf_setting setting, struct str sentence)
{
	const struct key_problem *problem = owner;
	if (problem->text->n > 0)
		buf_add_byte(problem->text, '\n');
	buf_addf(problem->text, "%.*s:%u:1: %.*s", STR_ARG(problem->name), (unsigned)problem->conf->lines[setting],
	         STR_ARG(sentence));
}

int start_read_keys(struct str name, const struct conf *conf, struct key_pair *keys, struct buf *problem)
{
	struct key_problem told = { name, conf, problem };
	return key_pair_read(conf, blame, &told, keys);
}

bool start_certificate_warning(const struct supervisor *s, struct buf *sentence)
{
	return key_pair_warning(&s->keys, s->conf.tls.certificate, clock_wall_seconds(), sentence);
}

void start_log_certificate(const struct supervisor *s)
{
	struct buf sentence = BUF_INIT(KEY_PAIR_TEXT_MAX);
	if (start_certificate_warning(s, &sentence))
		log_warning("certificate", LOG_S("problem", buf_str(&sentence)));
	buf_free(&sentence);
}

void start_choose_users(struct supervisor *s)
{
	s->as_root = geteuid() == 0;
	if (!s->as_root) {
		log_info("one-user", LOG_U("uid", geteuid()),
		         LOG_C("meaning", "not started as root: all processes run as this user"));
		return;
	}
	struct store_owners *o = &s->owners;
	bool found = store_owner_find(s->conf.server.user, s->conf.server.user_id, &o->user, &o->group);
	found &= store_owner_find(s->conf.server.network_user, s->conf.server.network_user_id, &o->network_user,
	                          &o->network_group);
	const char *warning = store_owners_warning(o);
	if (warning)
		log_warning("users-not-apart", LOG_C("problem", warning));
	if (!found)
		log_warning("users-missing", LOG_S("user", s->conf.server.user),
		            LOG_S("network_user", s->conf.server.network_user),
		            LOG_C("meaning", "the system does not have both users; numeric ids of the configuration are used"));
}

/* The name as `hostname -f` gives it. */
void start_name_host(struct supervisor *s)
{
	s->hostname = s->conf.server.hostname;
	if (s->hostname.n > 0)
		return;
	char own[256] = "localhost";
	(void)gethostname(own, sizeof own - 1);
	struct addrinfo hints = { .ai_flags = AI_CANONNAME, .ai_socktype = SOCK_STREAM }, *found = NULL;
	if (!strchr(own, '.') && getaddrinfo(own, NULL, &hints, &found) == 0 && found->ai_canonname)
		snprintf(s->hostname_room, sizeof s->hostname_room, "%s", found->ai_canonname);
	else
		snprintf(s->hostname_room, sizeof s->hostname_room, "%s", own);
	if (found)
		freeaddrinfo(found);
	s->hostname = str_first(str_from_c(s->hostname_room), 253);
}

/* --- store --- */

static uint16_t wanted_shards(const struct supervisor *s)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	if (s->conf.server.shards > 0)
		return (uint16_t)s->conf.server.shards;
	return (uint16_t)MIN(MAX(cores, 1L), 256L);
}

/* The other users must be able to walk to their folders: a store below a private home works only with one user. */
static int check_path(const struct supervisor *s)
{
	if (!s->as_root)
		return 0;
	char path[4096];
	size_t n = strlen(s->directory);
	for (size_t i = 1; i <= n && n < sizeof path; i++) {
		struct stat status;
		if (s->directory[i] != '/' && s->directory[i] != '\0')
			continue;
		memcpy(path, s->directory, i);
		path[i] = '\0';
		if (stat(path, &status) == 0 && !(status.st_mode & S_IXOTH)) {
			log_error("directory-unreachable", LOG_C("folder", path), LOG_C("directory", s->directory),
			          LOG_C("problem",
			                "users other than its owner cannot pass through this folder: chmod o+x it, or put "
			                "server.directory elsewhere"));
			return ERR_DENIED;
		}
	}
	return 0;
}

int start_open_store(struct supervisor *s)
{
	const char *wanted = s->conf.server.directory.p;
	int err = store_folder_make(wanted);
	if (err == 0 && !(s->directory = realpath(wanted, NULL)))
		err = err_from_errno(errno);
	struct stat status;
	if (err == 0 && stat(s->directory, &status) == 0 && !S_ISDIR(status.st_mode)) {
		log_error("store-unusable", LOG_C("directory", wanted), LOG_C("problem", "this is not a folder"));
		return ERR_STATE;
	}
	if (err == 0 && (err = check_path(s)) != 0)
		return err;
	if (err == 0) {
		err = store_folder_lock(s->directory, &s->lock_fd);
		if (err == ERR_UNAVAILABLE) {
			log_error("store-in-use", LOG_C("directory", s->directory),
			          LOG_C("problem", "another server uses it, or a mansio command that works while none runs "
			                           "(backup, restore, account, store salvage)"));
			return err;
		}
	}
	if (err == 0)
		err = store_folder_fill(s->directory, wanted_shards(s), &s->owners, &s->store);
	if (err != 0)
		log_error("store-unusable", LOG_C("directory", wanted), LOG_ERR(err),
		          LOG_C("problem", err == ERR_CORRUPT ? "its file \"store\" is damaged or missing: restore it from a backup"
		                           : err == ERR_STATE
		                               ? "a restore into it did not come to its end: run mansio restore again"
		                           : err == ERR_UNSUPPORTED ? "its file \"store\" was written by a newer version of mansio"
		                                                    : "the folder cannot be used"));
	return err;
}
