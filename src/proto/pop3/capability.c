/* capability.c: the answers to CAPA and LANG. Pure. */
#include "proto/pop3/capability.h"

#include "base/pop3_policy.h"
#include "proto/sasl.h"

#include <inttypes.h>

static void put_expire(const struct pop3_offer *offer, struct outq *out)
{
	const char *user = offer->expire_differs ? " USER" : "";
	if (offer->expire_days == POP3_EXPIRE_NEVER)
		outq_addf(out, "EXPIRE NEVER%s\r\n", user);
	else
		outq_addf(out, "EXPIRE %" PRIu32 "%s\r\n", offer->expire_days, user);
}

void pop3_put_capabilities(const struct pop3_offer *offer, struct outq *out)
{
	outq_add(out, STR("+OK Capabilities follow.\r\nTOP\r\nUIDL\r\nPIPELINING\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\n"));
	put_expire(offer, out);
	outq_add(out, STR("LANG\r\n"));
	/* RFC 2449, 6.5: whole seconds; who waits for them has waited long enough. */
	if (offer->login_delay_ms > 0)
		outq_addf(out, "LOGIN-DELAY %" PRIu64 "\r\n", (offer->login_delay_ms + 999) / 1000);
	/* Without USER: names and passwords in UTF-8 are not prepared by SASLprep (RFC 6856, 2.2). */
	if (offer->utf8)
		outq_add(out, STR("UTF8\r\n"));
	if (offer->password)
		outq_add(out, STR("USER\r\nSASL " SASL_MECHANISMS "\r\n"));
	if (offer->stls)
		outq_add(out, STR("STLS\r\n"));
	outq_add(out, STR("IMPLEMENTATION Mansio\r\n.\r\n"));
}

bool pop3_put_language(struct str range, struct outq *out)
{
	if (range.n == 0) {
		outq_add(out, STR("+OK Languages follow.\r\nen English\r\n.\r\n"));
		return true;
	}
	if (str_eq(range, STR("*")) || str_ieq(range, STR("en")) || (str_istarts(range, STR("en-")) && range.n > 3)) {
		outq_add(out, STR("+OK en English it is.\r\n"));
		return true;
	}
	outq_add(out, STR("-ERR The only language here is English (en).\r\n"));
	return false;
}
