/* list.h: doubly linked lists whose links are in what is listed. Nothing here allocates. */
#ifndef MH_BASE_LIST_H
#define MH_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

/* As the head of a list: points to itself while the list is empty. As a member: points to itself,
 * or is all zero, while it is in no list. */
struct mh__link {
    struct mh__link *next, *prev;
};

/* The struct that has the link as its member. */
#define MH__CONTAINER(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

static inline void mh__list_init(struct mh__link *head)
{
    head->next = head->prev = head;
}

static inline bool mh__list_empty(const struct mh__link *head)
{
    return head->next == head;
}

static inline bool mh__link_used(const struct mh__link *link)
{
    return link->next && link->next != link;
}

static inline void mh__list_append(struct mh__link *head, struct mh__link *link)
{
    link->prev = head->prev;
    link->next = head;
    head->prev->next = link;
    head->prev = link;
}

static inline void mh__list_prepend(struct mh__link *head, struct mh__link *link)
{
    mh__list_append(head->next, link);
}

/* Does nothing to a link that is in no list. */
static inline void mh__list_remove(struct mh__link *link)
{
    if (!link->next)
        return;
    link->prev->next = link->next;
    link->next->prev = link->prev;
    link->next = link->prev = link;
}

/* The first one, taken out; NULL where there is none. */
static inline struct mh__link *mh__list_take(struct mh__link *head)
{
    struct mh__link *link = head->next;
    if (link == head)
        return NULL;
    mh__list_remove(link);
    return link;
}

/* All that is listed moves to `to`, which is overwritten; `from` is empty then. */
static inline void mh__list_move(struct mh__link *from, struct mh__link *to)
{
    mh__list_init(to);
    if (mh__list_empty(from))
        return;
    *to = *from;
    to->next->prev = to->prev->next = to;
    mh__list_init(from);
}

#endif
