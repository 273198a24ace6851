/* mac.c: a context of OpenSSL that has the key in it and is begun anew for each use. Owned by who made it. */
#include "base/mac.h"

#include "base/mem.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>

struct mac {
	EVP_MAC_CTX *context;
};

struct mac *mac_new(struct str key)
{
	struct mac *mac = mem_alloc(1, sizeof *mac);
	EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	char digest[] = "SHA256";
	const OSSL_PARAM parameters[] = { OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		                              OSSL_PARAM_construct_end() };
	mac->context = hmac ? EVP_MAC_CTX_new(hmac) : NULL;
	if (!mac->context || EVP_MAC_init(mac->context, (const unsigned char *)key.p, key.n, parameters) != 1)
		abort(); /* out of memory */
	EVP_MAC_free(hmac);
	return mac;
}

void mac_free(struct mac **pointer)
{
	struct mac *mac = *pointer;
	*pointer = NULL;
	if (!mac)
		return;
	EVP_MAC_CTX_free(mac->context);
	mem_free(mac);
}

void mac_of(struct mac *mac, struct str bytes, unsigned char out[MAC_SIZE])
{
	size_t n = 0;
	if (EVP_MAC_init(mac->context, NULL, 0, NULL) != 1 ||
	    EVP_MAC_update(mac->context, (const unsigned char *)bytes.p, bytes.n) != 1 ||
	    EVP_MAC_final(mac->context, out, &n, MAC_SIZE) != 1 || n != MAC_SIZE)
		abort(); /* out of memory */
}
