/* supervisor.h: what the supervisor and each of its children say to each other. This side is trusted upwards (child
 * believes supervisor); the supervisor checks everything that comes from a child. */
#ifndef IPC_SUPERVISOR_H
#define IPC_SUPERVISOR_H

#include "base/wire.h"

#define ROLE_LIST(X)                                                                                                   \
	X(ROLE_SUPERVISOR, "supervisor")                                                                                   \
	X(ROLE_ACCESS, "access")                                                                                           \
	X(ROLE_SMTP, "smtp")                                                                                               \
	X(ROLE_AUTH, "auth")                                                                                               \
	X(ROLE_AUTHWORK, "authwork")                                                                                       \
	X(ROLE_SHARD, "shard")

enum role {
#define ROLE_ENUM(name, text) name,
	ROLE_LIST(ROLE_ENUM)
#undef ROLE_ENUM
	ROLE_COUNT
};

struct str role_name(enum role role);

/* What a listening socket is for. */
#define SERVICE_LIST(X)                                                                                                \
	X(SERVICE_IMAP, "imap")                                                                                            \
	X(SERVICE_IMAPS, "imaps")                                                                                          \
	X(SERVICE_POP3, "pop3")                                                                                            \
	X(SERVICE_POP3S, "pop3s")                                                                                          \
	X(SERVICE_SMTP, "smtp")                                                                                            \
	X(SERVICE_LMTP, "lmtp")                                                                                            \
	X(SERVICE_SUBMISSION, "submission")                                                                                \
	X(SERVICE_SUBMISSIONS, "submissions")                                                                              \
	X(SERVICE_METRICS, "metrics")

enum service {
#define SERVICE_ENUM(name, text) name,
	SERVICE_LIST(SERVICE_ENUM)
#undef SERVICE_ENUM
	SERVICE_COUNT
};

struct str service_name(enum service service);

/* Who serves it: access or smtp. */
enum role service_role(enum service service);

enum {
	SUPERVISOR_SETUP = 1,    /* first message: struct setup */
	SUPERVISOR_LISTENER = 2, /* u8 service; descriptor beside it */
	SUPERVISOR_PEER = 3,     /* u8 role, u16 index, u32 pair; descriptor beside it: a new channel to that process, replacing any old one */
	SUPERVISOR_KEYS = 4,     /* certificate and key as PEM: also sent again at SIGHUP */
	SUPERVISOR_START = 5,    /* everything was sent: begin to serve */
	SUPERVISOR_STOP = 6,     /* finish cleanly and exit */
	SUPERVISOR_STATUS = 7,   /* u64 request: answer with CHILD_STATUS */
	SUPERVISOR_CONTROL = 8,  /* u64 request, then a command of the control socket (ipc/control.h) */
	SUPERVISOR_RELOAD = 9,   /* text of the configuration that is in force from now on, already checked */
	SUPERVISOR_LOG_LEVEL = 10, /* u8: an enum log_level, or LOG_LEVEL_CONFIGURED: that of the configuration */
	SUPERVISOR_METRICS = 11, /* to access: the answer to CHILD_METRICS, as Prometheus reads it; empty: not now */
	CHILD_READY = 32,        /* the role serves */
	CHILD_STATUS = 33,       /* u64 request, then pairs (short key, u64 value) */
	CHILD_CONTROL_REPLY = 34, /* u64 request, then the answer */
	CHILD_METRICS = 36,      /* access: asks for SUPERVISOR_METRICS; once at a time */
	CHILD_PEER_LOST = 35,    /* u8 role, u16 index, u32 pair as in SUPERVISOR_PEER: that channel closed; where both live on, a new one comes */
};

#define SETUP_CONFIG_MAX (1024 * 1024)
#define LOG_LEVEL_CONFIGURED 0xff
#define STORE_SECRET_SIZE 32

struct setup {
	enum role role;
	uint16_t index;      /* of processes of the same role */
	uint16_t count;      /* how many of that role there are */
	uint16_t shards;     /* number of shards of the store */
	bool sandbox;        /* false: asked off by the environment (leak checkers) */
	uint32_t user, group; /* to become; 0: stay */
	struct str hostname;
	struct str directory; /* of the store, absolute */
	struct str config;    /* text of mansio.toml, already checked */
	struct str config_name; /* its file name, for messages */
	unsigned char ticket_key[32];    /* auth and shard; zeros for others. New at each start of the supervisor */
	unsigned char store_secret[STORE_SECRET_SIZE]; /* smtp: seed of delivery keys; kept in the store's folder */
};

struct keys {
	struct str certificate, key; /* PEM; empty when TLS is not configured */
};

void setup_encode(const struct setup *m, struct buf *out);
int setup_decode(struct str body, struct setup *out) MUST_CHECK;
void keys_encode(const struct keys *m, struct buf *out);
int keys_decode(struct str body, struct keys *out) MUST_CHECK;

#endif
