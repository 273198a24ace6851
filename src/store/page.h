/* page.h: a page of entries, in memory and as the blob of a row.
 *
 * Blob, little-endian: version u8, keyword bytes per entry u8, entries u16, modseq u64, uidnext u32, recent u32 (the
 * last two count in the mailbox's last page only); then column after column: uid less the run's base u32, saved u32,
 * modseq 5 bytes (0: the run's), message 5, id 5, size 5 (its highest bit: open_end), flags 1, keyword bits. A row of a database page of 4096 bytes
 * takes a blob of 4057: 120 entries with up to 4 keyword bytes, 20 + 120 * (29 + 4) = 3980. Version 1, which index.db had
 * up to version 2, had modseqs of 6 bytes and no sizes; it is read (sizes are 0), not written. */
#ifndef STORE_PAGE_H
#define STORE_PAGE_H

#include "store/store.h"

#define PAGE_ENTRIES       120
#define PAGE_KEYWORD_BYTES 4 /* of each entry, with which a full page still fits a database page */

struct page {
	uint64_t key;      /* run << 32 | number */
	uint32_t uid_base; /* of the run */
	uint32_t n, size;  /* entries used and allocated */
	uint32_t unseen;
	uint64_t bytes;    /* sum of the sizes of their messages */
	uint32_t words;    /* of keyword bits per entry; 0: none has any */
	uint64_t modseq;   /* of the last change here, expunges included */
	uint32_t uidnext, recent; /* as read; counts for the last page */
	struct entry *entries;
	uint64_t *keywords; /* entry i: words * i */
	struct page *dirty_next, **dirty_link; /* in the store's list of pages to write */
	struct mailbox *mailbox;
	uint32_t pasts;    /* that have it too (past.c): entries are added here, and change, but none leaves */
};

struct page *page_new(struct mailbox *mailbox, uint64_t key, uint32_t uid_base) __attribute__((returns_nonnull));
/* Lets go of it; it is freed when neither the mailbox nor a past has it any more. */
void page_free(struct page **page);

/* A page of the same entries, that nobody else has and that is in no list. */
struct page *page_copy(const struct page *page) __attribute__((returns_nonnull));

/* The place of the first entry with this uid or a larger one; page->n if none. */
uint32_t page_slot(const struct page *page, uint32_t uid);

/* The first of `n` pages, in order of uids, that has an entry with this uid or a larger one; n if none. Only the last
 * page may have no entries. */
uint32_t pages_find(struct page *const *pages, uint32_t n, uint32_t uid);

/* Appends an entry; its uid must be larger than all here. */
void page_add(struct page *page, const struct entry *entry, const struct keyword_bits *keywords);

/* Removes the entries whose bit is set in `gone` (indexes below PAGE_ENTRIES). */
void page_remove(struct page *page, const bool *gone);

void page_keywords(const struct page *page, uint32_t slot, struct keyword_bits *out);
void page_set_keywords(struct page *page, uint32_t slot, const struct keyword_bits *keywords);

void page_encode(const struct page *page, struct buf *out);

/* Fills an empty page. ERR_CORRUPT when the blob is not one that page_encode made: lengths, order of uids, bounds; or the
 * modseq, which is its run's, is none of 40 bits. */
int page_decode(struct str blob, uint64_t run_modseq, struct page *page) MUST_CHECK;

/* No bit from the n-th on stays. */
static inline void keywords_trim(struct keyword_bits *bits, size_t n)
{
	for (size_t i = 0; i < KEYWORD_WORDS; i++)
		if (n < (i + 1) * 64)
			bits->word[i] &= n > i * 64 ? (UINT64_C(1) << (n - i * 64)) - 1 : 0;
}

static inline bool keywords_any(const struct keyword_bits *bits)
{
	uint64_t any = 0;
	for (size_t i = 0; i < KEYWORD_WORDS; i++)
		any |= bits->word[i];
	return any != 0;
}

#endif
