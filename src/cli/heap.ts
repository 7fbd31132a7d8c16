import { setFlagsFromString } from 'node:v8'

/**
 * Lets the heap grow by three quarters of what is in use before it is collected, rather than to several times as much: what
 * goes through a backfill or `verify` is garbage by the thousand rows, and would fill memory that others on the machine could use.
 *
 * Measured on a million rows: a backfill is 159 to 172 MiB resident with it (220 to 240 without), `verify` 117 to 122 (190 to
 * 205), for about the same processor time.
 */
export const keepHeapSmall = (): void => setFlagsFromString('--heap-growing-percent=75')
