/* auth_authwork.c: encodes and decodes the messages of auth_authwork.h. Pure; decoded slices point into the body. */
#include "ipc/auth_authwork.h"

#include "ipc/access_auth.h"
#include "ipc/codec.h"

void password_job_encode(const struct password_job *m, struct buf *out)
{
	wire_put_u64(out, m->request);
	wire_put_short(out, m->password);
	wire_put_short(out, m->hash);
}

int password_job_decode(struct str body, struct password_job *out)
{
	struct wire_reader r = wire_reader(body);
	struct password_job m;
	m.request = wire_get_u64(&r);
	m.password = wire_get_short(&r, LOGIN_PASSWORD_MAX);
	m.hash = wire_get_short(&r, PASSWORD_HASH_MAX);
	int err = wire_finish(&r);
	if (err == 0)
		*out = m;
	return err;
}

void password_reply_encode(const struct password_reply *m, struct buf *out)
{
	wire_put_u64(out, m->request);
	codec_put_bool(out, m->ok);
	wire_put_short(out, m->hash);
}

int password_reply_decode(struct str body, struct password_reply *out)
{
	struct wire_reader r = wire_reader(body);
	struct password_reply m;
	m.request = wire_get_u64(&r);
	m.ok = wire_get_bool(&r);
	m.hash = wire_get_short(&r, PASSWORD_HASH_MAX);
	int err = wire_finish(&r);
	if (err == 0)
		*out = m;
	return err;
}
