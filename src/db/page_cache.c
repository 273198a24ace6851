/* page_cache.c: see page_cache.h. A table of functions around those that SQLite had before, whose pages these are. One
 * struct cache belongs to each database, from xCreate to xDestroy; a database is used by one thread. Without memory
 * SQLite hears so, as of its own. */
#include "db/page_cache.h"

#include "base/checked.h"

#include <pthread.h>
#include <sqlite3.h>

#define LOCK_BYTE 0x40000000 /* where SQLite's locks are in a file: the page there is never one of a tree */

struct cache {
	sqlite3_pcache *pages; /* of the functions behind these */
	unsigned highest;      /* at least the number of each page that stays */
	unsigned parking;      /* the number of the page with the lock byte */
	unsigned parked;       /* pages that have it now */
};

static sqlite3_pcache_methods2 behind;

static struct cache *cache_of(sqlite3_pcache *handle)
{
	return (struct cache *)handle;
}

static sqlite3_pcache *create(int page_size, int extra, int purgeable)
{
	struct cache *cache = sqlite3_malloc(sizeof *cache);
	if (!cache)
		return NULL;
	*cache = (struct cache){ .pages = behind.xCreate(page_size, extra, purgeable),
		.parking = LOCK_BYTE / (unsigned)page_size + 1 };
	if (!cache->pages) {
		sqlite3_free(cache);
		return NULL;
	}
	return (sqlite3_pcache *)cache;
}

static void destroy(sqlite3_pcache *handle)
{
	behind.xDestroy(cache_of(handle)->pages);
	sqlite3_free(handle);
}

static void set_size(sqlite3_pcache *handle, int pages)
{
	behind.xCachesize(cache_of(handle)->pages, pages);
}

static int count(sqlite3_pcache *handle)
{
	return behind.xPagecount(cache_of(handle)->pages);
}

static sqlite3_pcache_page *fetch(sqlite3_pcache *handle, unsigned number, int create_flag)
{
	struct cache *cache = cache_of(handle);
	sqlite3_pcache_page *page = behind.xFetch(cache->pages, number, create_flag);
	if (page)
		cache->highest = MAX(cache->highest, number);
	return page;
}

static void unpin(sqlite3_pcache *handle, sqlite3_pcache_page *page, int discard)
{
	behind.xUnpin(cache_of(handle)->pages, page, discard);
}

static void rekey(sqlite3_pcache *handle, sqlite3_pcache_page *page, unsigned old, unsigned new)
{
	struct cache *cache = cache_of(handle);
	behind.xRekey(cache->pages, page, old, new);
	if (old == cache->parking && cache->parked > 0)
		cache->parked--;
	if (new == cache->parking)
		cache->parked++;
	else
		cache->highest = MAX(cache->highest, new);
}

/* Pages with this number and higher ones go. */
static void truncate_from(sqlite3_pcache *handle, unsigned limit)
{
	struct cache *cache = cache_of(handle);
	if (limit > cache->highest && cache->parked == 0)
		return;
	behind.xTruncate(cache->pages, limit);
	if (limit > 0)
		cache->highest = MIN(cache->highest, limit - 1);
	if (limit <= cache->parking)
		cache->parked = 0;
}

static void shrink(sqlite3_pcache *handle)
{
	behind.xShrink(cache_of(handle)->pages);
}

static void use(void)
{
	if (sqlite3_config(SQLITE_CONFIG_GETPCACHE2, &behind) != SQLITE_OK)
		return;
	sqlite3_pcache_methods2 ours = behind; /* with its xInit and xShutdown */
	ours.xCreate = create;
	ours.xDestroy = destroy;
	ours.xCachesize = set_size;
	ours.xPagecount = count;
	ours.xFetch = fetch;
	ours.xUnpin = unpin;
	ours.xRekey = rekey;
	ours.xTruncate = truncate_from;
	ours.xShrink = shrink;
	sqlite3_config(SQLITE_CONFIG_PCACHE2, &ours);
}

void page_cache_use(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, use);
}
