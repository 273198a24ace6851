/* store_folder.c: makes, locks and reads the store's folder. Everything here is done once at a start; the file
 * "store" comes last and by rename, so that a start that was cut off is simply done again. The folder belongs to the
 * supervisor, so no role can plant a link in it that root would follow. */
#include "proc/store_folder.h"

#include "base/checked.h"
#include "base/random.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define STORE_FILE     "store"
#define STORE_FILE_NEW "store.new"
#define LOCK_FILE      "lock"
#define STORE_FORMAT   1
#define STORE_TEXT_MAX 4096
#define NAME_SIZE      32
#define PARENT_MAX     4096

bool store_owner_find(struct str name, uint64_t otherwise, uint32_t *user, uint32_t *group)
{
	const struct passwd *entry = getpwnam(name.p);
	*user = entry ? entry->pw_uid : (uint32_t)otherwise;
	*group = entry ? entry->pw_gid : (uint32_t)otherwise;
	return entry != NULL;
}

const char *store_owners_warning(const struct store_owners *owners)
{
	if (owners->user == 0)
		return "the user of server.user is root: a process that owns mail and is taken over has the whole machine";
	if (owners->network_user == 0)
		return "the user of server.network_user is root: a process that talks to strangers and is taken over has the "
		       "whole machine";
	if (owners->user == owners->network_user)
		return "server.user and server.network_user are one user: the processes that talk to strangers own all mail";
	return NULL;
}

int store_folder_lock(const char *directory, int *fd)
{
	int folder = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0)
		return err_from_errno(errno);
	int lock = openat(folder, LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	int err = lock < 0 ? err_from_errno(errno) : 0;
	close(folder);
	if (err == 0 && flock(lock, LOCK_EX | LOCK_NB) != 0) {
		err = errno == EWOULDBLOCK ? ERR_UNAVAILABLE : ERR_IO;
		close(lock);
	}
	if (err == 0)
		*fd = lock;
	return err;
}

/* --- the file "store" --- */

/* Lines "key = value" in a fixed order, after comment lines. */
static struct str value_of(struct str *rest, struct str key)
{
	while (rest->p) {
		struct str line = str_cut(rest, '\n');
		struct str name = str_trim(str_cut(&line, '='));
		if (str_eq(name, key))
			return str_trim(line);
	}
	return (struct str){ NULL, 0 };
}

int store_identity_parse(struct str text, struct store_identity *out)
{
	struct store_identity identity = { 0 };
	uint64_t format = 0, shards = 0;
	if (str_to_u64(value_of(&text, STR("format")), UINT32_MAX, &format) != 0)
		return ERR_CORRUPT;
	if (format != STORE_FORMAT)
		return ERR_UNSUPPORTED;
	if (str_to_bytes(value_of(&text, STR("id")), identity.id, sizeof identity.id) != 0 ||
	    str_to_bytes(value_of(&text, STR("secret")), identity.secret, sizeof identity.secret) != 0 ||
	    str_to_u64(value_of(&text, STR("shards")), UINT16_MAX, &shards) != 0 || shards == 0)
		return ERR_CORRUPT;
	identity.shards = (uint16_t)shards;
	*out = identity;
	return 0;
}

static int read_identity(int folder, struct store_identity *out)
{
	char text[STORE_TEXT_MAX];
	int fd = openat(folder, STORE_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_from_errno(errno);
	ssize_t n = read(fd, text, sizeof text);
	close(fd);
	return n < 0 ? ERR_IO : store_identity_parse(str_of(text, (size_t)n), out);
}

int store_folder_read(const char *directory, struct store_identity *out)
{
	int folder = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0)
		return err_from_errno(errno);
	int err = read_identity(folder, out);
	close(folder);
	return err;
}

static int write_identity(int folder, const struct store_identity *identity)
{
	struct buf text = BUF_INIT(STORE_TEXT_MAX);
	buf_add(&text, STR("# Made once, when the store was made. Do not edit.\n"));
	buf_addf(&text, "format = %d\nid = ", STORE_FORMAT);
	buf_add_hex(&text, str_of((const char *)identity->id, sizeof identity->id));
	buf_add(&text, STR("\nsecret = "));
	buf_add_hex(&text, str_of((const char *)identity->secret, sizeof identity->secret));
	buf_addf(&text, "\nshards = %u\n", (unsigned)identity->shards);
	int err = buf_error(&text);
	int fd = openat(folder, STORE_FILE_NEW, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		err = err_from_errno(errno);
	if (err == 0 && (write(fd, text.p, text.n) != (ssize_t)text.n || fsync(fd) != 0 ||
	                 renameat(folder, STORE_FILE_NEW, folder, STORE_FILE) != 0 || fsync(folder) != 0))
		err = err_from_errno(errno);
	if (fd >= 0)
		close(fd);
	buf_free(&text);
	return err;
}

/* --- folders --- */

/* Roles of other users pass through it to their own folders, whatever the umask. Its name must be on the disk before any
 * mail in it is acknowledged. */
static int make_parent(const char *path)
{
	if (mkdir(path, 0711) != 0)
		return errno == EEXIST ? 0 : err_from_errno(errno);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int above = fd < 0 ? -1 : openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = above < 0 || fchmod(fd, 0711) != 0 || fsync(above) != 0 ? err_from_errno(errno) : 0;
	if (above >= 0)
		close(above);
	if (fd >= 0)
		close(fd);
	return err;
}

int store_folder_make(const char *directory)
{
	char path[PARENT_MAX];
	size_t n = strlen(directory);
	if (n == 0 || n >= sizeof path)
		return ERR_LIMIT;
	memcpy(path, directory, n + 1);
	for (size_t i = 1; i <= n; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		char end = path[i];
		path[i] = '\0';
		int err = make_parent(path);
		if (err != 0)
			return err;
		path[i] = end;
	}
	return 0;
}

static int make_folder(int parent, const char *name, mode_t mode, uint32_t owner, uint32_t group)
{
	if (mkdirat(parent, name, mode) != 0 && errno != EEXIST)
		return err_from_errno(errno);
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_from_errno(errno);
	int err = 0;
	if ((geteuid() == 0 && fchown(fd, owner, group) != 0) || fchmod(fd, mode) != 0 || fsync(fd) != 0)
		err = err_from_errno(errno);
	close(fd);
	return err;
}

static int make_shards(int folder, uint16_t shards, const struct store_owners *owners)
{
	char name[NAME_SIZE];
	int err = make_folder(folder, STORE_FOLDER_SHARDS, 0711, 0, 0);
	for (unsigned i = 0; i < shards && err == 0; i++) {
		snprintf(name, sizeof name, STORE_FOLDER_SHARDS "/%02u", i);
		err = make_folder(folder, name, 0700, owners->user, owners->group);
	}
	int fd = openat(folder, STORE_FOLDER_SHARDS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		if (err == 0 && fsync(fd) != 0)
			err = ERR_IO;
		close(fd);
	}
	return err;
}

static bool has_mail(int folder)
{
	return faccessat(folder, STORE_FOLDER_SHARDS "/00/index.db", F_OK, 0) == 0;
}

/* A restore that was cut off behind its last step left it: the next one must not take this for what it began itself. */
static int remove_mark(int folder)
{
	return unlinkat(folder, STORE_FOLDER_UNFINISHED, 0) == 0 || errno == ENOENT ? 0 : err_from_errno(errno);
}

int store_folder_fill(const char *directory, uint16_t shards, const struct store_owners *owners,
                      struct store_identity *out)
{
	struct store_identity identity = { .shards = shards };
	int folder = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0)
		return err_from_errno(errno);
	int err = read_identity(folder, &identity);
	bool fresh = err == ERR_NOT_FOUND;
	if (fresh)
		err = faccessat(folder, STORE_FOLDER_UNFINISHED, F_OK, 0) == 0 ? ERR_STATE : has_mail(folder) ? ERR_CORRUPT : 0;
	if (fresh) {
		random_bytes(identity.id, sizeof identity.id);
		random_bytes(identity.secret, sizeof identity.secret);
	}
	if (err == 0)
		err = make_folder(folder, STORE_FOLDER_AUTH, 0700, owners->user, owners->group);
	if (err == 0)
		err = make_folder(folder, STORE_FOLDER_SPOOL, 0700, owners->network_user, owners->network_group);
	if (err == 0)
		err = make_folder(folder, STORE_FOLDER_RUN, 0755, 0, 0);
	if (err == 0)
		err = make_shards(folder, identity.shards, owners);
	if (err == 0)
		err = fresh ? write_identity(folder, &identity) : remove_mark(folder);
	if (err == 0 && fsync(folder) != 0)
		err = ERR_IO;
	close(folder);
	if (err == 0)
		*out = identity;
	return err;
}
