/* parcel_private.h: what the makers and takers of parcels share. */
#ifndef STORE_PARCEL_PRIVATE_H
#define STORE_PARCEL_PRIVATE_H

#include "store/parcel.h"

#define PARCEL_MAGIC   "mansioPA"
#define PARCEL_VERSION 1
#define PARCEL_FLAGS   (FLAG_SEEN | FLAG_ANSWERED | FLAG_FLAGGED | FLAG_DELETED | FLAG_DRAFT)

#define PARCEL_HAS_UIDL 0x80 /* in the byte that tells the words of keywords */

#endif
