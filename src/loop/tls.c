/* tls.c: makes the OpenSSL context of a role from PEM text. A struct tls_context is an SSL_CTX by another name, so
 * that nobody else includes OpenSSL; its reference count is OpenSSL's. Errors of OpenSSL are mapped to ERR_SYNTAX:
 * the text came from files. */
#include "loop/tls.h"

#include "base/checked.h"
#include "base/mem.h"
#include "loop/tls_private.h"

#include <limits.h>
#include <openssl/pem.h>
#include <openssl/rand.h>

/* OpenSSL's own, AES-128 first: its handshake hashes with SHA-256, for which processors have instructions (5 % of a
 * handshake), and a block takes 10 rounds, not 14. */
#define TLS13_SUITES "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define CHAIN_MAX 16 /* certificates in one file */

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
	(void)room;
	(void)size;
	(void)writing;
	(void)data;
	return 0;
}

static BIO *bio_over(struct str pem)
{
	return pem.n > INT_MAX ? NULL : BIO_new_mem_buf(pem.p, (int)pem.n);
}

/* The server's certificate first, then the chain, as in RFC 8446 section 4.4.2. */
static int use_certificates(SSL_CTX *ctx, struct str pem)
{
	int err = ERR_SYNTAX;
	BIO *bio = bio_over(pem);
	X509 *certificate = bio ? PEM_read_bio_X509_AUX(bio, NULL, no_password, NULL) : NULL;
	if (!certificate || SSL_CTX_use_certificate(ctx, certificate) != 1)
		goto out;
	for (int i = 0; i <= CHAIN_MAX; i++) {
		X509 *issuer = PEM_read_bio_X509(bio, NULL, no_password, NULL);
		if (!issuer) {
			/* The end of the text shows as "no start line"; anything else is damage. */
			err = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE ? 0 : ERR_SYNTAX;
			break;
		}
		if (i == CHAIN_MAX || SSL_CTX_add0_chain_cert(ctx, issuer) != 1) {
			X509_free(issuer);
			break;
		}
	}
out:
	X509_free(certificate);
	BIO_free(bio);
	return err;
}

static int use_key(SSL_CTX *ctx, struct str pem)
{
	BIO *bio = bio_over(pem);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;
	bool good = key && SSL_CTX_use_PrivateKey(ctx, key) == 1 && SSL_CTX_check_private_key(ctx) == 1;
	EVP_PKEY_free(key);
	BIO_free(bio);
	return good ? 0 : ERR_SYNTAX;
}

int tls_context_new(struct str certificate_pem, struct str key_pem, int minimum_version, struct tls_context **out)
{
	ERR_clear_error();
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	int err = ctx ? 0 : ERR_UNSUPPORTED;
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
			err = ERR_UNSUPPORTED;
	}
	if (err == 0)
		err = use_certificates(ctx, certificate_pem);
	if (err == 0)
		err = use_key(ctx, key_pem);
	ERR_clear_error();
	if (err != 0) {
		SSL_CTX_free(ctx);
		return err;
	}
	*out = (struct tls_context *)ctx;
	return 0;
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
