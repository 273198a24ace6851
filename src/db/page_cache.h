/* page_cache.h: SQLite's page cache without the walk over all its pages that most COMMITs cost. When SQLite splits or
 * joins pages of a tree (balance_nonroot) it parks a page under the number of its lock byte, 262145 where pages have
 * 4 KB, for a moment. Its cache remembers that as its highest number; so the COMMIT, which drops what lies behind the end of the
 * file, believes that there is something, and looks at every page: 16,000 cold cache lines with 64 MB, more than all else
 * SQLite does for a delivery. Here the highest number is that of a page which stays. */
#ifndef DB_PAGE_CACHE_H
#define DB_PAGE_CACHE_H

/* To be called before a database is opened, often if it pleases. Does nothing once SQLite runs: all is right then,
 * only slower. */
void page_cache_use(void);

#endif
