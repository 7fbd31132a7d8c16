INSERT INTO "authors" ("id", "email", "full_name", "bio", "role", "mentor_id") VALUES
  (1, 'ada@example.org', 'Ada', 'Writes about engines.', 'chief-editor', NULL),
  (2, 'bo@example.org', 'Bo', NULL, 'writer', 1),
  (3, 'cy@example.org', 'Cy', 'Reads.', 'READER', 1),
  (4, 'di@example.org', 'Di', NULL, 'writer', NULL),
  (5, 'ed@example.org', 'Ed', 'No one refers to him.', 'writer', NULL);
INSERT INTO "profiles" ("id", "about", "theme", "author_id") VALUES
  (1, 'Countess', '{"dark": true, "sizes": [1, 2.5]}', 1),
  (2, 'Coder', '{}', 2);
INSERT INTO "Category" ("code", "title") VALUES ('news', 'News'), ('tech', 'Technology'), ('idle', 'Nothing yet');
INSERT INTO "blog_posts" ("id", "slug", "post_title", "body", "published", "views", "updated_at", "author_id", "category") VALUES
  ('00000000-0000-4000-8000-000000000001', 'one', 'First', 'Once upon a time', true, 10, '2024-01-01 10:00:00.123', 1, 'news'),
  ('00000000-0000-4000-8000-000000000002', 'two', 'Second', NULL, false, 0, '2024-01-02', 1, 'tech'),
  ('00000000-0000-4000-8000-000000000003', 'three', 'Third', NULL, true, 3, '2024-01-03', 2, 'tech'),
  ('00000000-0000-4000-8000-000000000004', 'four', 'Fourth', NULL, false, 0, '2024-01-04', 3, NULL),
  ('00000000-0000-4000-8000-000000000005', 'five', 'Fifth', NULL, false, 0, '2024-01-05', NULL, NULL);
INSERT INTO "Comment" ("post_id", "no", "text", "author_id") VALUES
  ('00000000-0000-4000-8000-000000000001', 1, 'Good', 2),
  ('00000000-0000-4000-8000-000000000001', 2, 'Bad', 3),
  ('00000000-0000-4000-8000-000000000001', 3, 'Nobody said this', NULL),
  ('00000000-0000-4000-8000-000000000003', 1, 'Hm', 1);
INSERT INTO "lab"."reactions" ("id", "post_id", "comment_no", "mood", "weight") VALUES
  (1, '00000000-0000-4000-8000-000000000001', 1, 'good', 1.5),
  (2, '00000000-0000-4000-8000-000000000001', 1, 'so bad', NULL),
  (3, '00000000-0000-4000-8000-000000000001', 2, 'so bad', 0.125),
  (4, '00000000-0000-4000-8000-000000000003', 1, 'good', 12345.678);
INSERT INTO "Tag" ("id", "label") VALUES (1, 'red'), (2, 'green'), (3, 'blue');
INSERT INTO "_PostToTag" ("A", "B") VALUES
  ('00000000-0000-4000-8000-000000000001', 1),
  ('00000000-0000-4000-8000-000000000001', 2),
  ('00000000-0000-4000-8000-000000000002', 1);
INSERT INTO "lab"."samples" ("id", "big", "amount", "ratio", "small", "flag", "bytes", "mood", "moods", "words", "counts",
    "amounts", "data", "day", "clock", "at", "local", "uid", "address", "secret") VALUES
  (1, 9007199254740993, 12345678901234567890.0123456789, 0.1, 7, true, '\x00ff10', 'so bad', '{good,"so bad"}',
    '{a,"b c","quo\"te"}', '{1,2,3}', '{1.50,2.00}', '{"b": 1, "a": [null, "x"], "n": 12345678901234567890}', '2024-02-29',
    '23:59:58', '2024-03-04 05:06:07.890123+00', '2024-03-04 05:06:07.89', '11111111-2222-4333-8444-555555555555',
    '10.0.0.1', 'unmapped'),
  (2, 0, 0, 0, 0, false, NULL, NULL, '{}', '{}', '{}', '{}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO "log" ("id", "line") VALUES (1, 'started');

SELECT
  setval('"authors_id_seq"', 100), setval('"profiles_id_seq"', 100), setval('"Tag_id_seq"', 100), setval('"log_id_seq"', 100),
  setval('"lab"."reactions_id_seq"', 100), setval('"lab"."samples_id_seq"', 9007199254740992);
