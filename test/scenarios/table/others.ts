import type { Scenarios } from '../scenario.js'

const by = (sql: string): Scenarios[string] => ({ run: ({ other }) => other(sql), byAnotherProgram: true })

/** Writes of a program that knows nothing of Prisma. */
export const others: Scenarios = {
  'insert by another program': by(
    `INSERT INTO "authors" ("email", "full_name") VALUES ('x@example.org', 'X') RETURNING "id"`,
  ),
  'update by another program': by(`UPDATE "authors" SET "full_name" = 'X', "email" = 'x@example.org' WHERE "id" = 1`),
  'update by another program of a column that is not mapped': by('UPDATE "authors" SET "visits" = 1'),
  'delete by another program that cascades': by('DELETE FROM "authors" WHERE "id" IN (1, 2)'),
  'merge by another program': by(
    `MERGE INTO "Tag" t USING (VALUES ('red', 'rot'), ('pink', 'rosa')) v (old, new) ON t."label" = v.old
     WHEN MATCHED THEN UPDATE SET "label" = v.new WHEN NOT MATCHED THEN INSERT ("label") VALUES (v.new)`,
  ),
  'five hundred rows by another program': by(
    `CREATE TEMP TABLE given ON COMMIT DROP AS SELECT 'tag ' || n AS label FROM generate_series(1, 500) n;
     INSERT INTO "Tag" ("label") SELECT label FROM given`,
  ),
  'transaction of another program that is rolled back': {
    ...by(`BEGIN; UPDATE "authors" SET "full_name" = 'X'; DELETE FROM "Tag"; ROLLBACK`),
    leavesNoMark: true,
  },
  'a block of another program that takes a part back': {
    ...by(
      `DO $$ BEGIN
         UPDATE "authors" SET "bio" = 'in a block' WHERE "id" = 1;
         BEGIN
           UPDATE "Tag" SET "label" = 'taken back' WHERE "id" = 1;
           RAISE EXCEPTION 'never mind';
         EXCEPTION WHEN raise_exception THEN
         END;
       END $$`,
    ),
  },
}
