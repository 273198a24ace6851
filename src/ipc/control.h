/* control.h: what `mansio …` says to the running server over its control socket, and the answers. The socket is for
 * root and who started the server only (SO_PEERCRED and mode 0600), not for server.user. A request is one channel frame
 * CONTROL_REQUEST, the answer one CONTROL_REPLY. */
#ifndef IPC_CONTROL_H
#define IPC_CONTROL_H

#include "base/account_id.h"

enum { CONTROL_REQUEST = 1, CONTROL_REPLY = 2 };

#define CONTROL_COMMAND_LIST(X)                                                                                        \
	X(CONTROL_STATUS, "status")                                                                                        \
	X(CONTROL_RELOAD, "reload")                                                                                        \
	X(CONTROL_LOG_LEVEL, "log level")                                                                                  \
	X(CONTROL_METRICS, "metrics")                                                                                      \
	X(CONTROL_WHO, "who")                                                                                              \
	X(CONTROL_KICK, "kick")                                                                                            \
	X(CONTROL_ACCOUNT_ADD, "account add")                                                                              \
	X(CONTROL_ACCOUNT_LIST, "account list")                                                                            \
	X(CONTROL_ACCOUNT_SHOW, "account show")                                                                            \
	X(CONTROL_ACCOUNT_PASSWORD, "account password")                                                                    \
	X(CONTROL_ACCOUNT_REMOVE, "account remove")                                                                        \
	X(CONTROL_ACCOUNT_QUOTA, "account quota")                                                                          \
	X(CONTROL_ACCOUNT_POP3, "account pop3")                                                                            \
	X(CONTROL_DOMAIN_POP3, "domain pop3")                                                                              \
	X(CONTROL_APP_PASSWORD_ADD, "account app-password add")                                                            \
	X(CONTROL_APP_PASSWORD_LIST, "account app-password list")                                                          \
	X(CONTROL_APP_PASSWORD_REMOVE, "account app-password remove")                                                      \
	X(CONTROL_DOMAIN_ADD, "domain add")                                                                                \
	X(CONTROL_DOMAIN_LIST, "domain list")                                                                              \
	X(CONTROL_DOMAIN_REMOVE, "domain remove")                                                                          \
	X(CONTROL_ALIAS_ADD, "alias add")                                                                                  \
	X(CONTROL_ALIAS_LIST, "alias list")                                                                                \
	X(CONTROL_ALIAS_REMOVE, "alias remove")                                                                            \
	X(CONTROL_UNDELETE_LIST, "undelete list")                                                                          \
	X(CONTROL_UNDELETE_RESTORE, "undelete restore")                                                                    \
	X(CONTROL_STORE_CHECK, "store check")                                                                              \
	X(CONTROL_STORE_COMPACT, "store compact")                                                                          \
	X(CONTROL_PARCEL_READ, "parcel read")                                                                              \
	X(CONTROL_PARCEL_WRITE, "parcel write")                                                                            \
	X(CONTROL_ACCOUNT_MOVE, "account move")                                                                            \
	X(CONTROL_BACKUP, "backup")                                                                                        \
	X(CONTROL_BACKUP_DIRECTORY, "backup directory")

enum control_command {
#define CONTROL_ENUM(name, text) name,
	CONTROL_COMMAND_LIST(CONTROL_ENUM)
#undef CONTROL_ENUM
	CONTROL_COMMAND_COUNT
};

/* Who carries out a command. */
enum control_reach {
	CONTROL_BY_SUPERVISOR,
	CONTROL_BY_AUTH,
	CONTROL_BY_ITS_SHARD,  /* the first argument is an address: auth says where its account is, and its shard gets the account's id in its place */
	CONTROL_BY_PROCESS,    /* the first argument is its name, "shard.0" */
	CONTROL_BY_ALL_SHARDS, /* the answer: an array of what each shard says, in order */
};
enum control_reach control_reach(enum control_command command);

/* Commands that come with a descriptor beside the request, one end of a stream socket, on which a parcel
 * (store/parcel.h) goes from the shard or to it. The answer says whether it begins; the rest is said on the socket.
 * Only commands that reach CONTROL_BY_ITS_SHARD. */
bool control_takes_descriptor(enum control_command command);

#define CONTROL_ARGUMENTS_MAX 64
#define CONTROL_ARGUMENT_MAX  4096

struct control_request {
	enum control_command command;
	uint32_t n_arguments;
	struct str arguments[CONTROL_ARGUMENTS_MAX]; /* meaning by command; passwords travel here, never on a command line */
};

struct control_reply {
	int32_t result;     /* 0 or negative enum err */
	struct str message; /* for people when result is not 0: what was wrong, where, what to do */
	struct str json;    /* the answer as one JSON value; the command line prints it, or a table made of it */
};

/* Where an account is: auth's answer to the supervisor, in place of the JSON, to a command of CONTROL_BY_ITS_SHARD. */
struct control_place {
	struct account_id account;
	uint16_t shard;
};

void control_place_encode(const struct control_place *m, struct buf *out);
int control_place_decode(struct str body, struct control_place *out) MUST_CHECK;
void control_request_encode(const struct control_request *m, struct buf *out);
int control_request_decode(struct str body, struct control_request *out) MUST_CHECK;
void control_reply_encode(const struct control_reply *m, struct buf *out);
int control_reply_decode(struct str body, struct control_reply *out) MUST_CHECK;

#endif
