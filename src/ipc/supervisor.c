/* supervisor.c: encodes and decodes the messages of supervisor.h, and the names of roles and services. Pure; decoded
 * slices point into the body. */
#include "ipc/supervisor.h"

#include "ipc/codec.h"

#define HOSTNAME_MAX  253
#define PATH_SIZE_MAX 4096
#define PEM_MAX       (256 * 1024)

struct str role_name(enum role role)
{
	static const struct str names[ROLE_COUNT] = {
#define ROLE_TEXT(name, text) [name] = STR_INIT(text),
		ROLE_LIST(ROLE_TEXT)
#undef ROLE_TEXT
	};
	return names[role];
}

struct str service_name(enum service service)
{
	static const struct str names[SERVICE_COUNT] = {
#define SERVICE_TEXT(name, text) [name] = STR_INIT(text),
		SERVICE_LIST(SERVICE_TEXT)
#undef SERVICE_TEXT
	};
	return names[service];
}

enum role service_role(enum service service)
{
	switch (service) {
	case SERVICE_IMAP:
	case SERVICE_IMAPS:
	case SERVICE_POP3:
	case SERVICE_POP3S:
	case SERVICE_METRICS:
		return ROLE_ACCESS;
	case SERVICE_SMTP:
	case SERVICE_LMTP:
	case SERVICE_SUBMISSION:
	case SERVICE_SUBMISSIONS:
		return ROLE_SMTP;
	case SERVICE_COUNT:
		break;
	}
	return ROLE_COUNT;
}

void setup_encode(const struct setup *m, struct buf *out)
{
	wire_put_u8(out, (uint8_t)m->role);
	wire_put_u16(out, m->index);
	wire_put_u16(out, m->count);
	wire_put_u16(out, m->shards);
	codec_put_bool(out, m->sandbox);
	wire_put_u32(out, m->user);
	wire_put_u32(out, m->group);
	wire_put_short(out, m->hostname);
	wire_put_short(out, m->directory);
	wire_put_str(out, m->config);
	wire_put_short(out, m->config_name);
	codec_put_bytes(out, m->ticket_key, sizeof m->ticket_key);
	codec_put_bytes(out, m->store_secret, sizeof m->store_secret);
}

int setup_decode(struct str body, struct setup *out)
{
	struct wire_reader r = wire_reader(body);
	struct setup m;
	m.role = (enum role)codec_get_enum(&r, ROLE_COUNT);
	m.index = wire_get_u16(&r);
	m.count = wire_get_u16(&r);
	m.shards = wire_get_u16(&r);
	m.sandbox = wire_get_bool(&r);
	m.user = wire_get_u32(&r);
	m.group = wire_get_u32(&r);
	m.hostname = wire_get_short(&r, HOSTNAME_MAX);
	m.directory = wire_get_short(&r, PATH_SIZE_MAX);
	m.config = wire_get_str(&r, SETUP_CONFIG_MAX);
	m.config_name = wire_get_short(&r, PATH_SIZE_MAX);
	wire_get_copy(&r, m.ticket_key, sizeof m.ticket_key);
	wire_get_copy(&r, m.store_secret, sizeof m.store_secret);
	int err = wire_finish(&r);
	if (err == 0)
		*out = m;
	return err;
}

void keys_encode(const struct keys *m, struct buf *out)
{
	wire_put_str(out, m->certificate);
	wire_put_str(out, m->key);
}

int keys_decode(struct str body, struct keys *out)
{
	struct wire_reader r = wire_reader(body);
	struct keys m;
	m.certificate = wire_get_str(&r, PEM_MAX);
	m.key = wire_get_str(&r, PEM_MAX);
	int err = wire_finish(&r);
	if (err == 0)
		*out = m;
	return err;
}
