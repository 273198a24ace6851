/* key_pair.c: see key_pair.h. What a key pair holds is its owner's; nothing is kept here. */
#include "proc/key_pair.h"

#include "base/checked.h"
#include "base/file.h"
#include "base/mem.h"
#include "loop/tls.h"

#include <fcntl.h>

#define SOON_S   (7 * 86400)
#define DATE_MAX 64

static bool read_pem(enum conf_setting setting, struct str file, key_pair_problem_fn *problem, void *owner, struct buf *out)
{
	int err = file_read(AT_FDCWD, file.p, 0, out);
	if (err == 0)
		return true;
	struct buf sentence = BUF_INIT(KEY_PAIR_TEXT_MAX);
	buf_addf(&sentence, "cannot read %.*s: %s", STR_ARG(file), err_text(err));
	problem(owner, setting, buf_str(&sentence));
	buf_free(&sentence);
	return false;
}

static void tell_fault(const struct conf *conf, const struct tls_pair *tried, key_pair_problem_fn *problem, void *owner)
{
	struct buf sentence = BUF_INIT(KEY_PAIR_TEXT_MAX);
	struct str certificate = conf->tls.certificate, key = conf->tls.key;
	const char *reason = tried->reason ? tried->reason : "it cannot be used";
	enum conf_setting setting = CONF_tls_certificate;
	switch (tried->fault) {
	case TLS_PAIR_GOOD:
		break;
	case TLS_CERTIFICATE_NOT_PEM:
		buf_addf(&sentence, "%.*s holds no certificate as PEM", STR_ARG(certificate));
		break;
	case TLS_CERTIFICATE_REFUSED:
		buf_addf(&sentence, "OpenSSL refuses the certificate in %.*s: %s; is its key too weak (RSA below 2048 bits), or its "
		                    "signature old (SHA-1)?", STR_ARG(certificate), reason);
		break;
	case TLS_CHAIN_DAMAGED:
		buf_addf(&sentence, "%.*s is damaged behind its first certificate", STR_ARG(certificate));
		break;
	case TLS_CHAIN_REFUSED:
		buf_addf(&sentence, "OpenSSL refuses the chain in %.*s: %s; is a key in it too weak, or are there more than %d "
		                    "certificates?", STR_ARG(certificate), reason, TLS_CHAIN_MAX);
		break;
	case TLS_KEY_NOT_PEM:
		setting = CONF_tls_key;
		buf_addf(&sentence, "%.*s holds no private key as PEM", STR_ARG(key));
		break;
	case TLS_KEY_HAS_PASSPHRASE:
		setting = CONF_tls_key;
		buf_addf(&sentence, "the key in %.*s has a passphrase, and nobody is there to type it: store it without one",
		         STR_ARG(key));
		break;
	case TLS_KEY_OF_ANOTHER:
		buf_addf(&sentence, "the key in %.*s does not belong to the certificate in %.*s", STR_ARG(key), STR_ARG(certificate));
		break;
	case TLS_UNSUPPORTED:
		buf_addf(&sentence, "OpenSSL on this machine does not speak TLS as tls.minimum_version wants it");
		break;
	}
	problem(owner, setting, buf_str(&sentence));
	buf_free(&sentence);
}

int key_pair_read(const struct conf *conf, key_pair_problem_fn *problem, void *owner, struct key_pair *out)
{
	struct key_pair pair = { .certificate = BUF_INIT(KEY_PAIR_PEM_MAX), .key = BUF_INIT(KEY_PAIR_PEM_MAX) };
	struct tls_pair tried;
	if (conf->tls.certificate.n > 0) {
		bool good = read_pem(CONF_tls_certificate, conf->tls.certificate, problem, owner, &pair.certificate);
		good &= read_pem(CONF_tls_key, conf->tls.key, problem, owner, &pair.key);
		if (good) {
			tls_pair_try(buf_str(&pair.certificate), buf_str(&pair.key), (int)conf->tls.minimum_version, &tried);
			good = tried.fault == TLS_PAIR_GOOD;
			if (!good)
				tell_fault(conf, &tried, problem, owner);
			pair.not_before = tried.not_before;
			pair.not_after = tried.not_after;
		}
		if (!good) {
			key_pair_free(&pair);
			return ERR_CONFIG;
		}
	}
	*out = pair;
	return 0;
}

void key_pair_free(struct key_pair *pair)
{
	mem_wipe(pair->key.p, pair->key.n);
	buf_free(&pair->certificate);
	buf_free(&pair->key);
}

static const char *print_date(int64_t seconds, char out[DATE_MAX])
{
	time_t at = (time_t)seconds;
	struct tm tm;
	if (!gmtime_r(&at, &tm) || strftime(out, DATE_MAX, "%Y-%m-%d %H:%M UTC", &tm) == 0)
		snprintf(out, DATE_MAX, "an unknown day");
	return out;
}

bool key_pair_warning(const struct key_pair *pair, struct str file, int64_t now, struct buf *sentence)
{
	char date[DATE_MAX];
	int64_t soon = MIN((int64_t)SOON_S, (pair->not_after - pair->not_before) / 3);
	if (pair->certificate.n == 0)
		return false;
	if (now > pair->not_after)
		buf_addf(sentence, "the certificate in %.*s ended at %s: clients that verify it refuse to go on", STR_ARG(file),
		         print_date(pair->not_after, date));
	else if (now < pair->not_before)
		buf_addf(sentence, "the certificate in %.*s is not valid before %s: clients that verify it refuse to go on; is the "
		                   "clock of this machine right?", STR_ARG(file), print_date(pair->not_before, date));
	else if (pair->not_after - now < soon)
		buf_addf(sentence, "the certificate in %.*s ends at %s: renew it", STR_ARG(file), print_date(pair->not_after, date));
	else
		return false;
	return true;
}
