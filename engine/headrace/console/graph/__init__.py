"""GraphQL: what tools and test harnesses around Inngest's dev server ask, by the names that they use.

In:    `POST /v0/gql` with a query and its variables; the archive, and what the node knows of apps and functions.
Out:   answers of GraphQL's shape. All that one query asks is of one moment: it is one transaction of the archive.
Rules: a run or event that is not known yet is an error and never null, as those who poll go by that. Mutations go
       through the same orders as the REST API. Nothing here decides anything about a run.
Source: the SDK protocol page, section 6.3.
"""
