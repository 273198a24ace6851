/* test_certificate.h: a self-signed certificate and its key for tests, made on the spot. */
#ifndef LOOP_TEST_CERTIFICATE_H
#define LOOP_TEST_CERTIFICATE_H

#include "base/buf.h"
#include "base/openssl.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

static inline void test_take_pem(BIO *bio, struct buf *out)
{
	char *text;
	long n = BIO_get_mem_data(bio, &text);
	*out = BUF_INIT(65536);
	buf_add(out, str_of(text, (size_t)n));
	BIO_free(bio);
}

/* Both as PEM; free with buf_free. Takes the pair. The certificate is valid from `begin` to `end`, in seconds from now;
 * passphrase: of the key, or NULL. */
static inline void test_certificate_of(EVP_PKEY *pair, long begin, long end, const char *passphrase,
                                       struct buf *certificate, struct buf *key)
{
	X509 *x509 = X509_new();
	X509_NAME *name = X509_get_subject_name(x509);
	BIO *certificate_bio = BIO_new(BIO_s_mem()), *key_bio = BIO_new(BIO_s_mem());
	ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
	X509_gmtime_adj(X509_getm_notBefore(x509), begin);
	X509_gmtime_adj(X509_getm_notAfter(x509), end);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"mx.example.test", -1, -1, 0);
	X509_set_issuer_name(x509, name);
	X509_set_pubkey(x509, pair);
	X509_sign(x509, pair, EVP_sha256());
	PEM_write_bio_X509(certificate_bio, x509);
	PEM_write_bio_PrivateKey(key_bio, pair, passphrase ? EVP_aes_128_cbc() : NULL, NULL, 0, NULL, (void *)(uintptr_t)passphrase);
	test_take_pem(certificate_bio, certificate);
	test_take_pem(key_bio, key);
	X509_free(x509);
	EVP_PKEY_free(pair);
}

static inline void test_certificate(struct buf *certificate, struct buf *key)
{
	test_certificate_of(EVP_EC_gen("P-256"), -60, 3600, NULL, certificate, key);
}

#endif
