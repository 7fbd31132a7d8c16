CREATE SCHEMA "lab";

CREATE TYPE "role" AS ENUM ('writer', 'chief-editor', 'READER');
CREATE TYPE "lab"."mood" AS ENUM ('good', 'so bad');

CREATE TABLE "authors" (
    "id" SERIAL NOT NULL PRIMARY KEY,
    "email" TEXT NOT NULL,
    "full_name" TEXT NOT NULL,
    "bio" TEXT,
    "role" "role" NOT NULL DEFAULT 'writer',
    "visits" INTEGER NOT NULL DEFAULT 0,
    "mentor_id" INTEGER REFERENCES "authors" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "authors_email_key" ON "authors" ("email");

CREATE TABLE "profiles" (
    "id" SERIAL NOT NULL PRIMARY KEY,
    "about" TEXT NOT NULL,
    "theme" JSONB NOT NULL DEFAULT '{}',
    "author_id" INTEGER NOT NULL REFERENCES "authors" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "profiles_author_id_key" ON "profiles" ("author_id");

CREATE TABLE "Category" (
    "code" TEXT NOT NULL PRIMARY KEY,
    "title" TEXT NOT NULL
);

CREATE TABLE "blog_posts" (
    "id" UUID NOT NULL PRIMARY KEY,
    "slug" TEXT NOT NULL,
    "post_title" TEXT NOT NULL,
    "body" TEXT,
    "published" BOOLEAN NOT NULL DEFAULT false,
    "views" INTEGER NOT NULL DEFAULT 0,
    "updated_at" TIMESTAMP(3) NOT NULL,
    "author_id" INTEGER REFERENCES "authors" ("id") ON DELETE SET NULL ON UPDATE CASCADE,
    "category" TEXT REFERENCES "Category" ("code") ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "blog_posts_slug_key" ON "blog_posts" ("slug");

CREATE TABLE "Comment" (
    "post_id" UUID NOT NULL REFERENCES "blog_posts" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    "no" INTEGER NOT NULL,
    "text" TEXT NOT NULL,
    "likes" INTEGER NOT NULL DEFAULT 0,
    "author_id" INTEGER REFERENCES "authors" ("id") ON DELETE SET NULL ON UPDATE CASCADE,
    PRIMARY KEY ("post_id", "no")
);

CREATE TABLE "lab"."reactions" (
    "id" BIGSERIAL NOT NULL PRIMARY KEY,
    "post_id" UUID NOT NULL,
    "comment_no" INTEGER NOT NULL,
    "mood" "lab"."mood" NOT NULL,
    "weight" DECIMAL(8,3),
    FOREIGN KEY ("post_id", "comment_no") REFERENCES "Comment" ("post_id", "no") ON DELETE CASCADE ON UPDATE CASCADE
);

CREATE TABLE "Tag" (
    "id" SERIAL NOT NULL PRIMARY KEY,
    "label" TEXT NOT NULL
);
CREATE UNIQUE INDEX "Tag_label_key" ON "Tag" ("label");

CREATE TABLE "_PostToTag" (
    "A" UUID NOT NULL REFERENCES "blog_posts" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    "B" INTEGER NOT NULL REFERENCES "Tag" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "_PostToTag_AB_pkey" PRIMARY KEY ("A", "B")
);
CREATE INDEX "_PostToTag_B_index" ON "_PostToTag" ("B");

CREATE TABLE "lab"."samples" (
    "id" BIGSERIAL NOT NULL PRIMARY KEY,
    "big" BIGINT NOT NULL DEFAULT 0,
    "amount" DECIMAL(30,10) NOT NULL DEFAULT 0,
    "ratio" DOUBLE PRECISION NOT NULL DEFAULT 0,
    "small" SMALLINT NOT NULL DEFAULT 0,
    "flag" BOOLEAN NOT NULL DEFAULT false,
    "bytes" BYTEA,
    "mood" "lab"."mood",
    "moods" "lab"."mood"[],
    "words" TEXT[],
    "counts" INTEGER[],
    "amounts" DECIMAL(10,2)[],
    "data" JSONB,
    "day" DATE,
    "clock" TIME(0),
    "at" TIMESTAMPTZ(6),
    "local" TIMESTAMP(3),
    "uid" UUID,
    "address" INET,
    "secret" TEXT
);

CREATE TABLE "log" (
    "id" SERIAL NOT NULL PRIMARY KEY,
    "line" TEXT NOT NULL
);

-- Other ways to the tables than their names.
CREATE VIEW "writers" AS SELECT "id", "email", "full_name" AS "name" FROM "authors" WHERE "role" = 'writer';

CREATE FUNCTION "rename_author"("author" INTEGER, "name" TEXT) RETURNS INTEGER LANGUAGE plpgsql AS $$
BEGIN
  UPDATE "authors" SET "full_name" = "name" WHERE "id" = "author";
  RETURN "author";
END
$$;

CREATE PROCEDURE "publish_all"() LANGUAGE SQL AS $$
  UPDATE "blog_posts" SET "published" = true WHERE NOT "published";
$$;
