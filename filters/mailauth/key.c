/*
 * key.c - public keys from records, private keys from files (see key.h): RFC 6376 3.6.1, RFC 8301, RFC 8463.
 *
 * The EVP_PKEY is OpenSSL's and freed by key_fini() or by whom key_load_private() gave it to.  OpenSSL's queue of errors
 * is empty when a function returns.
 */
#include "mailauth/key.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mailauth/base64.h"
#include "mailauth/keycache.h"
#include "mailauth/tags.h"
#include "mailauth/text.h"

enum { RSA_BITS_MIN = 1024, RSA_BITS_MAX = 8192, EXPONENT_BITS_MAX = 32, ED25519_OCTETS = 32 };
enum { DER_MAX = 2048, FILE_MAX = 32 * 1024 };

/* ---- public keys: the octets -------------------------------------------------------------------------- */

/* SubjectPublicKeyInfo; some publish the RSAPublicKey inside it instead, as RFC 6376 says in one place. */
static EVP_PKEY *
rsa_decode(const unsigned char *der, size_t len, bool *ret_bare)
{
	const unsigned char *at = der;
	EVP_PKEY *pkey = d2i_PUBKEY(NULL, &at, (long)len);

	*ret_bare = pkey == NULL;
	if (pkey == NULL) {
		at = der;
		pkey = d2i_PublicKey(EVP_PKEY_RSA, NULL, &at, (long)len);
	}
	if (pkey == NULL || (EVP_PKEY_is_a(pkey, "RSA") && at == der + len))
		return pkey;
	EVP_PKEY_free(pkey);
	return NULL;
}

/* Long enough, and verified with in little time? A long exponent costs 100 times what 65537 does, and whoever sends
 * the signature chooses it. */
static bool
rsa_is_usable(EVP_PKEY *pkey, unsigned bits)
{
	BIGNUM *e = NULL;
	bool cheap = bits >= RSA_BITS_MIN && bits <= RSA_BITS_MAX &&
		EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &e) == 1 && BN_num_bits(e) <= EXPONENT_BITS_MAX;

	BN_free(e);
	return cheap;
}

static enum key_fault
key_decode(struct sp_span text, struct key *k)
{
	unsigned char der[DER_MAX];
	size_t len;

	if (base64_decode(text, der, sizeof(der), &len) != SP_OK)
		return KEY_UNUSABLE;
	ERR_clear_error();
	if (k->type == KEY_RSA)
		k->pkey = rsa_decode(der, len, &k->bare);
	else if (len == ED25519_OCTETS)
		k->pkey = EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL, der, len);
	if (k->pkey != NULL)
		k->bits = (unsigned)EVP_PKEY_get_bits(k->pkey);
	if (k->pkey != NULL && k->type == KEY_RSA && !rsa_is_usable(k->pkey, k->bits)) {
		EVP_PKEY_free(k->pkey);
		k->pkey = NULL;
	}
	ERR_clear_error();
	return k->pkey != NULL ? KEY_OK : KEY_UNUSABLE;
}

/* ---- public keys: the record -------------------------------------------------------------------------- */

/* Is the word in a list with colons? Unknown words are no fault. */
static bool
list_has(struct sp_span list, struct sp_span word)
{
	struct sp_span piece;

	while (text_cut(&list, ':', &piece))
		if (text_is(text_trim(piece), word))
			return true;
	return false;
}

static bool
key_type(const struct tags *t, enum key_type *ret)
{
	struct sp_span k;

	if (!tags_get(t, "k", &k) || text_is(k, TEXT("rsa")))
		*ret = KEY_RSA;
	else if (text_is(k, TEXT("ed25519")))
		*ret = KEY_ED25519;
	else
		return false;
	return true;
}

static void
key_flags(const struct tags *t, struct key *k)
{
	struct sp_span s;

	if (tags_get(t, "t", &s)) {
		k->testing = list_has(s, TEXT("y"));
		k->strict = list_has(s, TEXT("s"));
	}
	k->email = !tags_get(t, "s", &s) || list_has(s, TEXT("*")) || list_has(s, TEXT("email"));
	k->sha256 = k->sha1 = true;
	if (tags_get(t, "h", &s)) {
		k->sha256 = list_has(s, TEXT("sha256"));
		k->sha1 = list_has(s, TEXT("sha1"));
	}
}

static enum key_fault
record_parse(struct sp_span record, struct key *ret)
{
	struct tags t;
	struct sp_span s;

	if (tags_parse(&t, record) != SP_OK)
		return KEY_SYNTAX;
	/* v= is not needed, but where it is, it comes first and is DKIM1 */
	if (tags_get(&t, "v", &s) && (!text_is(s, TEXT("DKIM1")) || !text_is(t.items[0].name, TEXT("v"))))
		return KEY_SYNTAX;
	key_flags(&t, ret);
	if (!tags_get(&t, "p", &s))
		return KEY_SYNTAX;
	if (s.len == 0)
		return KEY_REVOKED;
	if (!key_type(&t, &ret->type))
		return KEY_TYPE;
	return key_decode(s, ret);
}

enum key_fault
key_parse(struct sp_span record, struct key *ret)
{
	struct keycache_place place;
	enum key_fault fault;

	memset(ret, 0, sizeof(*ret));
	if (keycache_find(record, &place, ret, &fault))
		return fault;
	fault = record_parse(record, ret);
	keycache_add(&place, ret, fault);
	return fault;
}

void
key_fini(struct key *k)
{
	EVP_PKEY_free(k->pkey);
	k->pkey = NULL;
}

/* ---- private keys --------------------------------------------------------------------------------------- */

/* The octets of a file of ours; *reterr where that fails. */
static bool
file_read(const char *path, char *memory, size_t max, size_t *ret_len, const char **reterr)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	ssize_t got;
	size_t len = 0;

	*reterr = NULL;
	if (fd == -1)
		*reterr = errno == ENOENT ? "there is no such file" :
			errno == EACCES ? "it may not be read" : "it cannot be opened";
	else if (fstat(fd, &st) == -1)
		*reterr = "it cannot be looked at";
	else if (!S_ISREG(st.st_mode))
		*reterr = "it is no file";
	else if ((st.st_mode & (S_IROTH | S_IWOTH)) != 0)
		*reterr = "anybody may read or write it: chmod o= is needed";
	else if (st.st_size >= (off_t)max)
		*reterr = "it is too big for a key";
	while (*reterr == NULL && len < max && (got = read(fd, memory + len, max - len)) != 0) {
		if (got < 0)
			*reterr = "it cannot be read";
		else
			len += (size_t)got;
	}
	if (fd != -1)
		close(fd);
	*ret_len = len;
	return *reterr == NULL;
}

/* Nobody is there to be asked for one. */
static int
no_passphrase(char *memory, int max, int writing, void *arg)
{
	(void)memory, (void)max, (void)writing, (void)arg;
	return -1;
}

static const char *
private_fault(EVP_PKEY *pkey, enum key_type *ret_type)
{
	const char *reason;

	if (pkey == NULL) {
		reason = ERR_reason_error_string(ERR_peek_last_error());
		return reason != NULL ? reason : "it holds no private key";
	}
	if (EVP_PKEY_is_a(pkey, "ED25519")) {
		*ret_type = KEY_ED25519;
		return NULL;
	}
	if (!EVP_PKEY_is_a(pkey, "RSA"))
		return "the key is neither RSA nor Ed25519";
	if (EVP_PKEY_get_bits(pkey) < RSA_BITS_MIN)
		return "the RSA key has less than 1024 bits";
	if (EVP_PKEY_get_bits(pkey) > RSA_BITS_MAX)
		return "the RSA key has more than 8192 bits";
	*ret_type = KEY_RSA;
	return NULL;
}

EVP_PKEY *
key_load_private(const char *path, enum key_type *ret_type, const char **reterr)
{
	char text[FILE_MAX];
	EVP_PKEY *pkey = NULL;
	const char *fault;
	BIO *bio = NULL;
	size_t len;

	ERR_clear_error();
	if (!file_read(path, text, sizeof(text), &len, &fault))
		goto out;
	bio = BIO_new_mem_buf(text, (int)len);
	if (bio != NULL)
		pkey = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
	fault = private_fault(pkey, ret_type);
out:
	if (fault != NULL) {
		*reterr = fault;
		EVP_PKEY_free(pkey);
		pkey = NULL;
	}
	BIO_free(bio);
	OPENSSL_cleanse(text, sizeof(text));
	ERR_clear_error();
	return pkey;
}
