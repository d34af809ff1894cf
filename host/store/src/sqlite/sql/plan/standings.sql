-- What the directory knows now of everyone who was put as a user.
UPDATE staged_user AS s
SET (user_key, was_live, differs) = (
    SELECT
        i.user_key,
        u.user_key IS NOT NULL,
        (u.email, u.username, u.display_name, u.given_name, u.family_name, u.status)
            IS NOT (s.email, s.username, s.display_name, s.given_name, s.family_name, s.status)
    FROM user_identity AS i
    LEFT JOIN directory_user AS u ON u.user_key = i.user_key AND u.deleted_at IS NULL
    WHERE i.directory_key = :directory_key AND i.external_id = s.external_id
);
