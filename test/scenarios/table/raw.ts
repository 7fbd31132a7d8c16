import { caught, inAnyOrder, post, type Scenarios } from '../scenario.js'

/** SQL that is written by hand, through Prisma. */
export const raw: Scenarios = {
  '$executeRaw update': {
    run: ({ prisma }) => prisma.$executeRaw`UPDATE "authors" SET "bio" = ${'Raw'} WHERE "id" = ${2}`,
    wholeTables: ['public.authors'],
  },
  '$executeRaw in lower case, over several lines, with comments': {
    run: ({ prisma }) => prisma.$executeRaw`
      -- delete from "Tag"
      /* insert /* into */ log */ update
        public . authors as a
      set bio = ${'Raw'} where a.id in (${2}, ${3})`,
    wholeTables: ['public.authors'],
  },
  '$executeRaw insert': {
    run: ({ prisma, Prisma }) =>
      prisma.$executeRaw(
        Prisma.sql`INSERT INTO "Tag" ("label") VALUES ${Prisma.join([Prisma.sql`(${'pink'})`, Prisma.sql`(${'grey'})`])}`,
      ),
    wholeTables: ['public.Tag'],
  },
  '$executeRaw insert that updates on conflict': {
    run: ({ prisma }) =>
      prisma.$executeRaw`INSERT INTO public."Tag" (label) VALUES ('red'), ('pink') ON CONFLICT (label) DO UPDATE SET label = 'rot'`,
    wholeTables: ['public.Tag'],
  },
  '$executeRaw delete': {
    run: ({ prisma }) =>
      prisma.$executeRaw`DELETE FROM ONLY "Comment" USING "authors" WHERE "author_id" = "authors"."id"`,
    wholeTables: ['public.Comment', 'lab.reactions'],
  },
  '$executeRaw merge': {
    run: ({ prisma }) => prisma.$executeRaw`
      MERGE INTO "Category" AS c USING (VALUES ('news', 'Old news'), ('fun', 'Fun')) AS v (code, title) ON c."code" = v.code
      WHEN MATCHED THEN UPDATE SET "title" = v.title
      WHEN NOT MATCHED THEN INSERT ("code", "title") VALUES (v.code, v.title)`,
    wholeTables: ['public.Category', 'public.blog_posts'],
  },
  '$executeRawUnsafe update': {
    run: ({ prisma }) =>
      prisma.$executeRawUnsafe('update lab.reactions set weight = $1 where mood = $2::lab.mood', 2.5, 'good'),
    wholeTables: ['lab.reactions'],
  },
  '$executeRawUnsafe of several statements': {
    run: ({ prisma }) =>
      prisma.$executeRawUnsafe(
        `UPDATE "authors" SET "bio" = 'a;b' WHERE "id" = 1; UPDATE "Tag" SET "label" = 'E''s' WHERE "id" = 1`,
      ),
    wholeTables: ['public.authors', 'public.Tag'],
  },
  '$executeRawUnsafe of a block of code': {
    run: ({ prisma }) =>
      prisma.$executeRawUnsafe(`DO $do$ BEGIN UPDATE "authors" SET "bio" = 'Done' WHERE "id" = 1; END $do$`),
    wholeTables: 'all',
  },
  '$queryRaw with RETURNING': {
    run: ({ prisma }) =>
      inAnyOrder(
        prisma.$queryRaw<
          object[]
        >`UPDATE "blog_posts" SET "published" = true WHERE "author_id" = ${1} RETURNING "slug", "published"`,
      ),
    wholeTables: ['public.blog_posts'],
  },
  '$queryRaw insert with RETURNING': {
    run: ({ prisma }) => prisma.$queryRaw`INSERT INTO "Tag" ("label") VALUES (${'pink'}) RETURNING *`,
    wholeTables: ['public.Tag'],
  },
  '$queryRaw that writes in a WITH': {
    run: ({ prisma }) => prisma.$queryRaw`
      WITH gone AS (DELETE FROM "lab"."reactions" WHERE "mood" = 'so bad' RETURNING "post_id", "comment_no"),
           said AS (UPDATE "Comment" c SET "text" = 'Forgiven' FROM gone WHERE (c."post_id", c."no") = (gone."post_id", gone."comment_no") RETURNING c."no")
      SELECT count(*)::int AS comments FROM said`,
    wholeTables: ['public.Comment', 'lab.reactions'],
  },
  '$queryRawUnsafe that writes in a WITH': {
    run: ({ prisma }) =>
      prisma.$queryRawUnsafe(
        `with t as (insert into "Tag" (label) values ($1) returning id, label) select id > 0 as made, label from t`,
        'pink',
      ),
    wholeTables: ['public.Tag'],
  },
  '$queryRaw that locks rows': {
    run: ({ prisma }) => prisma.$queryRaw`SELECT "id" FROM "authors" WHERE "id" < 3 ORDER BY "id" FOR UPDATE`,
    leavesNoMark: true,
  },
  '$queryRaw that only reads': {
    run: ({ prisma, Prisma }) =>
      prisma.$queryRaw(Prisma.sql`SELECT 'update "authors"' AS text, count(*) FROM "authors" -- delete from "Tag"`),
    leavesNoMark: true,
  },
  'raw update of a column that is not mapped': {
    run: ({ prisma }) => prisma.$executeRaw`UPDATE "authors" SET "visits" = "visits" + 1`,
    wholeTables: ['public.authors'],
  },
  'raw write to a table that is not mapped': {
    run: ({ prisma }) => prisma.$executeRaw`INSERT INTO "log" ("line") VALUES ('update "authors" set "bio" = 1')`,
    leavesNoMark: true,
  },
  'raw write through a view': {
    run: ({ prisma }) => prisma.$executeRaw`UPDATE "writers" SET "name" = upper("name")`,
    wholeTables: 'all',
  },
  'raw write through a function': {
    run: ({ prisma }) => prisma.$queryRaw`SELECT "rename_author"(${2}::int, ${'Bob'})`,
    wholeTables: 'all',
  },
  'raw write through a procedure': {
    run: ({ prisma }) => prisma.$executeRaw`CALL publish_all()`,
    wholeTables: 'all',
  },
  'raw write with a name in Unicode escapes': {
    run: ({ prisma }) => prisma.$executeRawUnsafe(`UPDATE U&"auth\\006Frs" SET bio = U&'d\\0061ta' WHERE id = 1`),
    wholeTables: 'all',
  },
  'raw write by way of search_path': {
    run: ({ prisma }) =>
      prisma.$transaction(async (tx) => {
        await tx.$executeRaw`SET LOCAL search_path = lab`
        return tx.$executeRaw`UPDATE reactions SET weight = 9 WHERE id = 1`
      }),
    wholeTables: ['lab.reactions'],
  },
  'raw write that fails': {
    run: ({ prisma }) => caught(prisma.$executeRaw`UPDATE "authors" SET "email" = 'ada@example.org' WHERE "id" = 2`),
    leavesNoMark: true,
  },
  'raw write that is no SQL': {
    run: ({ prisma }) => caught(prisma.$executeRawUnsafe('UPDATE "authors" SET')),
    leavesNoMark: true,
  },
  'raw writes in an interactive transaction': {
    run: ({ prisma }) =>
      prisma.$transaction(async (tx) => [
        await tx.$executeRaw`UPDATE "authors" SET "bio" = 'Raw' WHERE "id" = 3`,
        await tx.$queryRaw`DELETE FROM "Tag" WHERE "id" = 3 RETURNING "label"`,
        await tx.author.findUnique({ where: { id: 3 } }),
      ]),
    wholeTables: ['public.authors', 'public.Tag'],
  },
  'raw writes in a batch': {
    run: ({ prisma }) =>
      prisma.$transaction([
        prisma.$executeRaw`UPDATE "authors" SET "bio" = 'Raw' WHERE "id" = 3`,
        prisma.$queryRaw`SELECT "bio" FROM "authors" WHERE "id" = 3`,
        prisma.$executeRawUnsafe('DELETE FROM "Comment" WHERE "no" > $1', 2),
      ]),
    wholeTables: ['public.authors', 'public.Comment', 'lab.reactions'],
  },
  'raw update of keys': {
    run: ({ prisma }) =>
      prisma.$executeRaw`UPDATE "blog_posts" SET "id" = ${post(8)}::uuid WHERE "id" = ${post(1)}::uuid`,
    wholeTables: ['public.blog_posts', 'public.Comment', 'lab.reactions'],
  },
}
