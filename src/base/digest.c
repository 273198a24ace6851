/* digest.c: a context of OpenSSL that is used again for each message. Owned by who made it. */
#include "base/digest.h"

#include "base/mem.h"

#include <openssl/evp.h>

struct digest {
	EVP_MD_CTX *context;
	EVP_MD *method;
};

struct digest *digest_new(void)
{
	struct digest *digest = mem_alloc(1, sizeof *digest);
	digest->context = EVP_MD_CTX_new();
	digest->method = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (!digest->context || !digest->method)
		abort(); /* out of memory */
	digest_begin(digest);
	return digest;
}

void digest_free(struct digest **pointer)
{
	struct digest *digest = *pointer;
	*pointer = NULL;
	if (!digest)
		return;
	EVP_MD_CTX_free(digest->context);
	EVP_MD_free(digest->method);
	mem_free(digest);
}

void digest_begin(struct digest *digest)
{
	if (EVP_DigestInit_ex(digest->context, digest->method, NULL) != 1)
		abort(); /* out of memory */
}

void digest_add(struct digest *digest, struct str bytes)
{
	if (EVP_DigestUpdate(digest->context, bytes.p, bytes.n) != 1)
		abort(); /* out of memory */
}

void digest_end(struct digest *digest, unsigned char out[DIGEST_SIZE])
{
	if (EVP_DigestFinal_ex(digest->context, out, NULL) != 1)
		abort(); /* out of memory */
}
