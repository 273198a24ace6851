/* control.c: encodes and decodes the messages of control.h. Pure; decoded slices point into the body. */
#include "ipc/control.h"

#include "base/checked.h"
#include "ipc/channel.h"
#include "ipc/codec.h"

#define MESSAGE_MAX 65536

enum control_reach control_reach(enum control_command command)
{
	switch (command) {
	case CONTROL_STATUS:
	case CONTROL_RELOAD:
	case CONTROL_LOG_LEVEL:
	case CONTROL_METRICS:
		return CONTROL_BY_SUPERVISOR;
	case CONTROL_WHO:
	case CONTROL_KICK:
		return CONTROL_BY_PROCESS;
	case CONTROL_UNDELETE_LIST:
	case CONTROL_UNDELETE_RESTORE:
	case CONTROL_PARCEL_READ:
	case CONTROL_PARCEL_WRITE:
		return CONTROL_BY_ITS_SHARD;
	case CONTROL_STORE_CHECK:
	case CONTROL_STORE_COMPACT:
	case CONTROL_BACKUP:
		return CONTROL_BY_ALL_SHARDS;
	case CONTROL_ACCOUNT_ADD:
	case CONTROL_ACCOUNT_LIST:
	case CONTROL_ACCOUNT_SHOW:
	case CONTROL_ACCOUNT_PASSWORD:
	case CONTROL_ACCOUNT_REMOVE:
	case CONTROL_ACCOUNT_QUOTA:
	case CONTROL_ACCOUNT_POP3:
	case CONTROL_DOMAIN_POP3:
	case CONTROL_APP_PASSWORD_ADD:
	case CONTROL_APP_PASSWORD_LIST:
	case CONTROL_APP_PASSWORD_REMOVE:
	case CONTROL_DOMAIN_ADD:
	case CONTROL_DOMAIN_LIST:
	case CONTROL_DOMAIN_REMOVE:
	case CONTROL_ALIAS_ADD:
	case CONTROL_ALIAS_LIST:
	case CONTROL_ALIAS_REMOVE:
	case CONTROL_BACKUP_DIRECTORY:
	case CONTROL_ACCOUNT_MOVE:
	case CONTROL_COMMAND_COUNT:
		break;
	}
	return CONTROL_BY_AUTH;
}

bool control_takes_descriptor(enum control_command command)
{
	return command == CONTROL_PARCEL_READ || command == CONTROL_PARCEL_WRITE;
}

void control_place_encode(const struct control_place *m, struct buf *out)
{
	codec_put_account(out, &m->account);
	wire_put_u16(out, m->shard);
}

int control_place_decode(struct str body, struct control_place *out)
{
	struct wire_reader r = wire_reader(body);
	struct control_place m;
	m.account = codec_get_account(&r);
	m.shard = wire_get_u16(&r);
	int err = wire_finish(&r);
	if (err == 0)
		*out = m;
	return err;
}

void control_request_encode(const struct control_request *m, struct buf *out)
{
	wire_put_u8(out, (uint8_t)m->command);
	wire_put_u8(out, (uint8_t)m->n_arguments);
	for (uint32_t i = 0; i < m->n_arguments; i++)
		wire_put_short(out, m->arguments[i]);
}

int control_request_decode(struct str body, struct control_request *out)
{
	struct wire_reader r = wire_reader(body);
	struct control_request m = { 0 };
	m.command = (enum control_command)codec_get_enum(&r, CONTROL_COMMAND_COUNT);
	m.n_arguments = wire_get_u8(&r);
	if (m.n_arguments > CONTROL_ARGUMENTS_MAX)
		return ERR_CORRUPT;
	for (uint32_t i = 0; i < m.n_arguments; i++)
		m.arguments[i] = wire_get_short(&r, CONTROL_ARGUMENT_MAX);
	int err = wire_finish(&r);
	if (err == 0)
		*out = m;
	return err;
}

void control_reply_encode(const struct control_reply *m, struct buf *out)
{
	wire_put_u32(out, (uint32_t)m->result);
	wire_put_str(out, m->message);
	wire_put_str(out, m->json);
}

int control_reply_decode(struct str body, struct control_reply *out)
{
	struct wire_reader r = wire_reader(body);
	struct control_reply m;
	m.result = (int32_t)wire_get_u32(&r);
	m.message = wire_get_str(&r, MESSAGE_MAX);
	m.json = wire_get_str(&r, IPC_BODY_MAX);
	int err = wire_finish(&r);
	if (err != 0)
		return err;
	if (m.result > 0)
		return ERR_CORRUPT;
	*out = m;
	return 0;
}
