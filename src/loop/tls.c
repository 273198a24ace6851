/* tls.c: makes the OpenSSL context of a role from PEM text. A struct tls_context is an SSL_CTX by another name, so
 * that nobody else includes OpenSSL; its reference count is OpenSSL's. Errors of OpenSSL are mapped to ERR_SYNTAX:
 * the text came from files. */
#include "loop/tls.h"

#include "base/checked.h"
#include "base/clock.h"
#include "base/mem.h"
#include "loop/tls_private.h"

#include <limits.h>
#include <openssl/pem.h>
#include <openssl/rand.h>

/* OpenSSL's own, AES-128 first: its handshake hashes with SHA-256, for which processors have instructions (5 % of a
 * handshake), and a block takes 10 rounds, not 14. */
#define TLS13_SUITES "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"

static void *take(size_t n, const char *file, int line)
{
	return mem_alloc_unset(n);
}

static void *resize(void *p, size_t n, const char *file, int line)
{
	if (n > 0)
		return mem_resize(p, n, 1);
	mem_free(p);
	return NULL;
}

static void give_back(void *p, const char *file, int line)
{
	mem_free(p);
}

void tls_use_memory(void)
{
	(void)CRYPTO_set_mem_functions(take, resize, give_back);
}

void tls_prepare(void)
{
	unsigned char byte;
	/* A context and a random byte load all that is loaded lazily: configuration, providers, error texts, generators. */
	if (OPENSSL_init_ssl(OPENSSL_INIT_LOAD_SSL_STRINGS | OPENSSL_INIT_LOAD_CRYPTO_STRINGS, NULL) == 1) {
		SSL_CTX_free(SSL_CTX_new(TLS_server_method()));
		(void)RAND_bytes(&byte, 1);
	}
	ERR_clear_error();
}

/* Encrypted keys are not supported: nobody is there to type the password. */
static int no_password(char *room, int size, int writing, void *data)
{
	bool *wanted = data;
	(void)room;
	(void)size;
	(void)writing;
	if (wanted)
		*wanted = true;
	return -1;
}

static BIO *bio_over(struct str pem)
{
	return pem.n > INT_MAX ? NULL : BIO_new_mem_buf(pem.p, (int)pem.n);
}

/* The server's certificate first, then the chain, as in RFC 8446 section 4.4.2. */
static enum tls_fault use_certificates(SSL_CTX *ctx, struct str pem)
{
	enum tls_fault fault = TLS_CERTIFICATE_NOT_PEM;
	BIO *bio = bio_over(pem);
	X509 *certificate = bio ? PEM_read_bio_X509_AUX(bio, NULL, no_password, NULL) : NULL;
	if (!certificate)
		goto out;
	fault = SSL_CTX_use_certificate(ctx, certificate) == 1 ? TLS_CHAIN_DAMAGED : TLS_CERTIFICATE_REFUSED;
	for (int i = 0; i <= TLS_CHAIN_MAX && fault == TLS_CHAIN_DAMAGED; i++) {
		X509 *issuer = PEM_read_bio_X509(bio, NULL, no_password, NULL);
		if (!issuer) {
			/* The end of the text shows as "no start line"; anything else is damage. */
			if (ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE)
				fault = TLS_PAIR_GOOD;
			break;
		}
		if (i == TLS_CHAIN_MAX || SSL_CTX_add0_chain_cert(ctx, issuer) != 1) {
			X509_free(issuer);
			fault = TLS_CHAIN_REFUSED;
		}
	}
out:
	X509_free(certificate);
	BIO_free(bio);
	return fault;
}

static enum tls_fault use_key(SSL_CTX *ctx, struct str pem)
{
	bool has_passphrase = false;
	enum tls_fault fault = TLS_KEY_OF_ANOTHER;
	BIO *bio = bio_over(pem);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, &has_passphrase) : NULL;
	if (!key)
		fault = has_passphrase ? TLS_KEY_HAS_PASSPHRASE : TLS_KEY_NOT_PEM;
	else if (SSL_CTX_use_PrivateKey(ctx, key) == 1 && SSL_CTX_check_private_key(ctx) == 1)
		fault = TLS_PAIR_GOOD;
	EVP_PKEY_free(key);
	BIO_free(bio);
	return fault;
}

/* What OpenSSL wrote down stays: the caller clears it. */
static enum tls_fault make_context(struct str certificate_pem, struct str key_pem, int minimum_version, SSL_CTX **out)
{
	ERR_clear_error();
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	enum tls_fault fault = ctx ? TLS_PAIR_GOOD : TLS_UNSUPPORTED;
	if (ctx) {
		/* A connection gives its record buffers back when it is idle; writes come from our queue, whose blocks may be
		 * added to between tries. The file has the whole chain: OpenSSL would look for a longer one at each handshake,
		 * for 7 % of its cost. */
		SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
		                          SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_NO_AUTO_CHAIN);
		SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
		                             SSL_OP_IGNORE_UNEXPECTED_EOF);
		SSL_CTX_set_read_ahead(ctx, 1); /* header and body of a record in one read */
		SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* tickets only: no state of ours for each client */
		/* One ticket, for the next connection: each costs a write, and the client a wake-up. */
		if (SSL_CTX_set_num_tickets(ctx, 1) != 1 || SSL_CTX_set_ciphersuites(ctx, TLS13_SUITES) != 1 ||
		    SSL_CTX_set_min_proto_version(ctx, minimum_version) != 1)
			fault = TLS_UNSUPPORTED;
	}
	if (fault == TLS_PAIR_GOOD)
		fault = use_certificates(ctx, certificate_pem);
	if (fault == TLS_PAIR_GOOD)
		fault = use_key(ctx, key_pem);
	if (fault != TLS_PAIR_GOOD)
		SSL_CTX_free(ctx);
	else
		*out = ctx;
	return fault;
}

int tls_context_new(struct str certificate_pem, struct str key_pem, int minimum_version, struct tls_context **out)
{
	SSL_CTX *ctx;
	enum tls_fault fault = make_context(certificate_pem, key_pem, minimum_version, &ctx);
	ERR_clear_error();
	if (fault != TLS_PAIR_GOOD)
		return fault == TLS_UNSUPPORTED ? ERR_UNSUPPORTED : ERR_SYNTAX;
	*out = (struct tls_context *)ctx;
	return 0;
}

/* ASN.1 has no number for it. CALENDAR_LAST is the date that means "never" (RFC 5280, section 4.1.2.5). */
static int64_t seconds_of(const ASN1_TIME *time)
{
	struct tm tm;
	return ASN1_TIME_to_tm(time, &tm) == 1 ? timegm(&tm) : CALENDAR_LAST;
}

void tls_pair_try(struct str certificate_pem, struct str key_pem, int minimum_version, struct tls_pair *out)
{
	SSL_CTX *ctx = NULL;
	*out = (struct tls_pair){ .fault = make_context(certificate_pem, key_pem, minimum_version, &ctx) };
	if (out->fault == TLS_CERTIFICATE_REFUSED || out->fault == TLS_CHAIN_REFUSED)
		out->reason = ERR_reason_error_string(ERR_peek_last_error());
	ERR_clear_error();
	if (out->fault != TLS_PAIR_GOOD)
		return;
	const X509 *certificate = SSL_CTX_get0_certificate(ctx);
	out->not_before = seconds_of(X509_get0_notBefore(certificate));
	out->not_after = seconds_of(X509_get0_notAfter(certificate));
	SSL_CTX_free(ctx);
}

void tls_context_free(struct tls_context **context)
{
	SSL_CTX_free((SSL_CTX *)*context);
	*context = NULL;
}

SSL *tls_server_new(struct tls_context *context, int fd)
{
	ERR_clear_error();
	SSL *ssl = SSL_new((SSL_CTX *)context);
	if (!ssl || SSL_set_fd(ssl, fd) != 1)
		abort(); /* out of memory */
	SSL_set_accept_state(ssl);
	return ssl;
}
