"""Writes the bad agreements from lift.toml: each one edit of it, and what is refused where;
and own_matches.toml, which is a good one.

Run in this folder: python3 make_bad.py. The first line of each file says
`# refused LINE:COLUMN TEXT`: one problem is at that place and says that text.
"""
import pathlib, re

here = pathlib.Path(__file__).parent
base = (here / "lift.toml").read_text().split("\n", 1)[1]

RECEIVES = (here / "../../../keys/tests/golden/receive_key-1.pub").read_text()

# name: (old text, new text, the text that the problem's place starts with, part of the message)
CASES = {
    "format_missing": ('format = "incamera-agreement/1"\n', "", None, "`format` is missing"),
    "format_newer": ("agreement/1", "agreement/2", '"incamera-agreement/2"', "reads incamera-agreement/1 and not"),
    "format_other": ("incamera-agreement/1", "x", '"x"', "not an agreement"),
    "lone_cr": ("FROM customers\n", "FROM customers -- \r hidden\n", " hidden", "carriage return must be followed by newline"),
    "syntax": ("version = 1", "version = = 1", "= 1", ""),
    "key_twice": ("version = 1", "version = 1\nversion = 1", "version = 1\nexpires", "duplicate key"),
    "unknown_field": ("version = 1", "version = 1\nversoin = 2", "versoin", "`versoin` is not a field of `agreement`"),
    "unknown_section": ("[purposes]", "[porpoises]\n[purposes]", "porpoises]", "`porpoises` is not a field of an agreement"),
    "section_missing": ("[budgets.shop]", "[bugdets.shop]", "bugdets", "`bugdets` is not a field of an agreement"),
    "later_providers": ("[purposes]", "[providers.one]\nthreshold = 2\n[purposes]", "providers", "`providers` is not in this version of incamera"),
    "later_template": ("sql = '''", "template = \"lift\"\nsql = '''", "template", "`queries.lift.template` is not in this version"),
    "later_ask": ("min_people = 50", "min_people = 50\nask = true", "ask", "`queries.lift.ask` is not in this version"),
    "not_for_other": ('day = { type = "date", purposes = ["measurement"]', 'day = { type = "date", purposes = ["measurement"], not_for = ["ads"]', '"ads"', "is not among the column's purposes"),
    "not_for_unknown": ('day = { type = "date", purposes = ["measurement"]', 'day = { type = "date", purposes = ["measurement"], not_for = ["adds"]', '"adds"', "there is no purpose `adds`"),
    "not_for_all": ('day = { type = "date", purposes = ["measurement"]', 'day = { type = "date", purposes = ["measurement"], not_for = ["measurement"]', '["measurement"] }\namount', "leaves no purpose"),
    "not_for_alone": ('consent = { type = "purposes" }', 'consent = { type = "purposes", not_for = ["ads"] }', '["ads"] }', "and there are none"),
    "not_for_person": ('purposes = ["ads", "measurement"] }\nconsent', 'purposes = ["ads", "measurement"], not_for = ["ads"] }\nconsent', '["ads"] }', "so `not_for` would not hold"),
    "not_for_empty": ('day = { type = "date", purposes = ["measurement"]', 'day = { type = "date", purposes = ["measurement"], not_for = []', '[] }', "not_for` is empty"),
    "iri": ('label = "Choosing audiences"', 'label = "Choosing audiences", iri = "dpv Marketing"', '"dpv Marketing"', "is not an absolute IRI"),
    "replaces_first": ('label = "Choosing audiences"', 'label = "Choosing audiences", replaces = ["old"]', '["old"]', "version 1 replaces no purpose"),
    "keep_until_late": ('owner = "mailer"', 'owner = "mailer"\nkeep_until = 2027-04-01', "2027-04-01", "is after the last day of the agreement, 2027-03-31"),
    "keep_until_text": ('owner = "mailer"', 'owner = "mailer"\nkeep_until = "2027-01-01"', '"2027-01-01"', "is a day without quotes"),
    "keep_until_public": ('owner = "mailer"', 'owner = "mailer"\npublic = true\nkeep_until = 2027-01-01', "2027-01-01", "a public data set has no `keep_until`"),
    "time_zone": ('day = { type = "date"', 'at = { type = "timestamp", time_zone = "Europe/Atlantis", purposes = ["ads"] }\nday = { type = "date"', '"Europe/Atlantis"', "`Europe/Atlantis` is not the IANA name of a time zone"),
    "time_zone_of_date": ('day = { type = "date"', 'day = { type = "date", time_zone = "UTC"', '"UTC"', "a column of this type has no `time_zone`"),
    "later_renews": ('renews = "never"', 'renews = "monthly"', '"monthly"', "is not in this version"),
    "matching_reveals": ('reveals = "nothing"', 'reveals = "all"', '"all"', "`reveals` is nothing or own-matches"),
    "matching_vole_few": ('"commutative"\nids = ["email"]\nreveals = "nothing"\nmax_ids = 500_000', '"vole"\nids = ["email"]\nmax_ids = 500', "500\n", "so it cannot be held to `max_ids`"),
    "matching_vole_many": ('"commutative"\nids = ["email"]\nreveals = "nothing"\nmax_ids = 500_000', '"vole"\nids = ["email"]\nmax_ids = 12_000_000', "12_000_000", "at most 4194304 ids of a party"),
    "matching_vole_security": ('"commutative"', '"vole"\nsecurity = "strong"', '"strong"', "`security` is malicious or semi-honest"),
    "matching_security": ('"commutative"', '"commutative"\nsecurity = "malicious"', '"malicious"', "a choice of method vole alone"),
    "matching_none_reveals": ('"commutative"\nids = ["email"]\nreveals = "nothing"', '"none"\nreveals = "own-matches"', '"own-matches"', "there are no matches to reveal"),
    "name_bad": ('"spring-campaign"', '"Spring campaign"', '"Spring campaign"', "lower-case letters"),
    "version_zero": ("version = 1", "version = 0", "0\nexpires", "`agreement.version` is out of range"),
    "version_text": ("version = 1", 'version = "1"', '"1"', "is a whole number, not a TOML string"),
    "version2_no_id": ("version = 1", "version = 2", "[agreement]", "`agreement.id` is missing"),
    "version1_follows": ("version = 1", 'version = 1\nfollows = "00"', '"00"', "version 1 has no `follows`"),
    "expires_text": ("2027-03-31", '"2027-03-31"', '"2027-03-31"', "is a day without quotes"),
    "expires_time": ("2027-03-31", "2027-03-31T00:00:00Z", "2027-03-31T", "is a day without quotes"),
    "party_name": ("[parties.mailer]", "[parties.Mailer]", "Mailer]", "a party name has lower-case letters"),
    "party_key": ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIqI", "ssh-rsa AAAA", '"ssh-rsa', "`parties.shop.signs`"),
    "party_key_twice": ("IIE5dw6ofRdfVqNUZsNMfszLjYqRtO43ol32D1uPybOU", "IIqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c", '"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c"\nurl', "`parties.shop.service` is the key of another field"),
    "party_receives": ('url = "https://shop.example:7443"', 'receives = "x-wing AAAA"\nurl = "https://shop.example:7443"', '"x-wing', "`parties.shop.receives`"),
    "party_receives_twice": ("people = 100_000\n\n[parties.mailer]", f'people = 100_000\nreceives = "{RECEIVES}"\n\n[parties.mailer]\nreceives = "{RECEIVES}"', f'"{RECEIVES}"\nsigns', "`parties.mailer.receives` is the key of another field"),
    "party_url": ("https://shop.example:7443", "http://shop.example:7443", '"http:', "starts with `https://`"),
    "party_url_port": ("https://shop.example:7443", "https://shop.example", '"https://shop.example"', "names its port"),
    "party_people": ("people = 100_000\n", "", "shop]\nsigns", "party `shop` owns private data and declares no `people`"),
    "party_analysts": ("analysts = {", 'analysts = "all" #', '"all"', "people with keys, or"),
    "room_nothing_accepted": ("[[room.accept]]\n", "accept = []\n[room.x]\n", "[]", "`room.accept` is empty"),
    "room_accept_missing": ("[[room.accept]]\n", "[room.x]\n", "[room]", "`room.accept` is missing"),
    "room_tee": ('"simulated"', '"sgx2"', '"sgx2"', "`room.accept[0].tee`"),
    "room_tee_twice": ("[matching]", '[[room.accept]]\ntee = "simulated"\nmeasurements = ["9f1c9f1c9f1c9f1c9f1c9f1c9f1c9f1c9f1c9f1c9f1c9f1c9f1c9f1c9f1c9f1c"]\n[matching]', '"simulated"\nmeasurements = ["9f1c9f1c9f1c9f1c9f1c9f1c9f1c9f1c9f1c9f1c9f1c9f1c9f1c9f1c9f1c9f1c"]\n[matching]', "two blocks for `simulated`"),
    "room_measurement": ('["9f1c', '["9f', '"9f9f1c', "32 bytes"),
    "room_measurements_empty": ('measurements = ["9f1c9f1c9f1c9f1c9f1c9f1c9f1c9f1c9f1c9f1c9f1c9f1c9f1c9f1c9f1c9f1c"]', "measurements = []", "[]", "`room.accept[0].measurements` is empty"),
    "matching_method": ('"commutative"', '"hash"', '"hash"', "`method` is commutative"),
    "matching_one_owner": ('owner = "mailer"', 'owner = "shop"', '"commutative"', "between two owners of private data"),
    "matching_none_two": ('"commutative"', '"none"', '"none"', "method none is for one owner"),
    "matching_partitions": ("max_runs = 12", "max_runs = 12\npartitions = 5000", "5000", "`matching.partitions` is out of range"),
    "matching_rules": ("max_runs = 12", "max_runs = 12\nrules = 3", "3\n", "a newer version of incamera may have more"),
    "matching_hashed_first": ("max_runs = 12", 'max_runs = 12\nhashed = ["email"]', '["email"]\n\n[purposes]', "under rules 2"),
    "matching_hashed_other": ("max_runs = 12", 'max_runs = 12\nrules = 2\nhashed = ["phone"]', '"phone"', "`phone` is none of `ids`"),
    "matching_hashed_twice": ("max_runs = 12", 'max_runs = 12\nrules = 2\nhashed = ["email", "email"]', '"email"]\n\n[purposes]', "stands there twice"),
    "matching_max_ids": ("max_ids = 500_000\n", "", "[matching]", "`matching.max_ids` is missing"),
    "purpose_cycle": ('label = "Measuring campaigns"', 'label = "M", parent = "measurement"', "measurement =", "purpose `measurement` is its own ancestor"),
    "purpose_parent": ('label = "Measuring campaigns"', 'label = "M", parent = "x"', '"x"', "there is no purpose `x`"),
    "purpose_label": ('{ label = "Choosing audiences" }', "{}", "ads = {}", "`purposes.ads.label` is missing"),
    "dataset_owner": ('owner = "mailer"', 'owner = "post"', '"post"', "there is no party `post`"),
    "dataset_no_pseudonym": ('person = { type = "pseudonym" }\nmailed', "mailed", "mailing]\nowner", "data set `mailing` has not exactly one column of type pseudonym"),
    "dataset_two_consents": ('person = { type = "pseudonym" }\nday', 'person = { type = "pseudonym" }\nok = { type = "purposes" }\nday', "purchases]\nowner", "both decide the consents of party `shop`"),
    "dataset_never_opens": ('{ type = "pseudonym", purposes = ["ads", "measurement"] }', '{ type = "pseudonym" }', "customers]\nowner", "no column of data set `customers` has a purpose"),
    "column_type": ('"decimal(10,2)"', '"float"', '"float"', "`float` is not a type"),
    "column_no_purpose": ('{ type = "bool", purposes = ["measurement"] }', '{ type = "bool" }', "mailed =", "`datasets.mailing.columns.mailed` has no purposes"),
    "column_purpose": ('{ type = "bool", purposes = ["measurement"] }', '{ type = "bool", purposes = ["sport"] }', '"sport"', "there is no purpose `sport`"),
    "column_bounds": ("min = 0, max = 500", "min = 501, max = 500", "amount =", "`min` of column `amount` is above `max`"),
    "column_bound_digits": ("min = 0, max = 500", "min = 0.005, max = 500", "0.005", "does not fit the type decimal(10,2)"),
    "column_bound_size": ("min = 0, max = 500", "min = 0, max = 100_000_000", "100_000_000", "does not fit the type decimal(10,2)"),
    "column_bound_exponent": ("min = 0, max = 500", "min = 0, max = 5e2", "5e2", "not an exact decimal"),
    "column_min_of_date": ('{ type = "date", purposes', '{ type = "date", min = 3, purposes', "3, purposes", "a column of this type has no `min`"),
    "column_values_of_bool": ('{ type = "bool", purposes', '{ type = "bool", values = ["a"], purposes', '["a"]', "a column of this type has no `values`"),
    "column_other": ('other = "null"', 'other = "toys"', '"toys"', "`other` is \"null\", \"refuse\" or one of the values"),
    "column_other_alone": ('values = ["food", "home"], ', "", '"null"', "`other` says what becomes"),
    "column_values_twice": ('["food", "home"]', '["food", "food"]', '"food"]', "too long or stands there twice"),
    "column_id": ('person = { type = "pseudonym" }\nmailed', 'person = { type = "pseudonym", id = "phone" }\nmailed', '"phone"', "[matching] has no kind of id `phone`"),
    "query_purpose": ('purpose = "measurement"', 'purpose = "sales"', '"sales"', "there is no purpose `sales`"),
    "query_branch": ('ads = { label = "Choosing audiences" }', 'ads = { label = "Choosing audiences", parent = "measurement" }', '"measurement"\nanalysts', "purpose `measurement` is a branch"),
    "query_analyst": ('"mailer/ana"', '"mailer/bob"', '"mailer/bob"', "party `mailer` has no analyst `bob`"),
    "query_analyst_party": ('"mailer/ana"', '"post/ana"', '"post/ana"', "there is no party `post`"),
    "query_analyst_form": ('"mailer/ana"', '"ana"', '"ana"', "an analyst is named `party/analyst`"),
    "query_receiver": ('receivers = ["mailer", "shop"]', 'receivers = ["mailer", "post"]', '"post"', "there is no party `post`"),
    "query_receiver_twice": ('receivers = ["mailer", "shop"]', 'receivers = ["mailer", "mailer"]', '"mailer"]\nreads', "stands there twice"),
    "query_no_receiver": ('receivers = ["mailer", "shop"]', "receivers = []", "[]", "`queries.lift.receivers` is empty"),
    "query_reads_column": ('"mailing.mailed"', '"mailing.posted"', '"mailing.posted"', "data set `mailing` has no column `posted`"),
    "query_reads_dataset": ('"mailing.mailed"', '"post.mailed"', '"post.mailed"', "there is no data set `post`"),
    "query_reads_consent": ('"mailing.mailed"', '"customers.consent"', '"customers.consent"', "decides the consent class and is not stored"),
    "i3_query_reads_other_purpose": ('"mailing.mailed"', '"purchases.category"', '"purchases.category"', "`purchases.category` is not for the purpose `measurement`"),
    "query_reads_no_person": ('"mailing.person", ', "", '["customers.person"', "without the column that says whose row it is"),
    "query_sql_empty": ("sql = '''\n", "sql = ''\nsql2 = '''\n", "''\n", "the SQL is empty"),
    "query_sql_escaped": ("sql = '''\n", 'sql = "SELECT \\"spend\\" people buyers campaign_group"\nsql2 = \'\'\'\n', '"SELECT', "written with escapes"),
    "query_param": ('from = { type = "date" }', 'from = { type = "timestamp" }', '"timestamp"', "is no type of a parameter"),
    "query_rows_missing": ("rows = { purchases = 1_000, mailing = 1 }", "rows = { purchases = 1_000 }", "lift]", "how many rows of `mailing` one person may have"),
    "query_rows_zero": ("mailing = 1 }", "mailing = 0 }", "0 }", "`queries.lift.rows.mailing` is out of range"),
    "query_rows_unread": ("mailing = 1 }", "mailing = 1, x = 1 }", "x = 1", "`x` is no data set that the query reads"),
    "query_bounds": ("spend = [0, 400]", "spend = [400, 0]", "[400, 0]", "is above the second"),
    "query_bounds_three": ("spend = [0, 400]", "spend = [0, 1, 2]", "[0, 1, 2]", "is a list of two numbers"),
    "query_measure": ("spend = [0, 400]", "revenue = [0, 400]", "[0, 400]", "`revenue` does not occur in the query's SQL"),
    "query_param_ends": ('from = { type = "date" }', 'from = { type = "date", min = 2027-01-01, max = 2026-01-01 }', 'from = { type = "date", min', "`queries.lift.params.from.min` is above `queries.lift.params.from.max`"),
    "query_param_text_ends": ('from = { type = "date" }', 'from = { type = "text", min = "a" }', '"a"', "have no least and no most"),
    "query_param_value": ('from = { type = "date" }', 'from = { type = "date", min = "2026-01-01" }', '"2026', "is a day without quotes"),
    "query_param_values": ('from = { type = "date" }', 'from = { type = "text", values = ["a", "a"] }', '"a"] }', "stands there twice"),
    "query_param_both": ('from = { type = "date" }', 'from = { type = "int", min = 1, values = [1, 2] }', '[1, 2]', "a list of values or ends, not both"),
    "query_bounds_kind": ("spend = [0, 400]", "spend = { rows = 3 }", "spend = { rows", "does not say what is bounded"),
    "query_bounds_both": ("spend = [0, 400]", "spend = { value = [0, 4], distinct = 3 }", "spend = { value", "does not say what is bounded"),
    "query_bounds_unknown": ("spend = [0, 400]", "spend = { value = [0, 4], each = 3 }", "each", "is not a field of"),
    "query_groups_word": ('campaign_group = ["mailed", "not mailed"]', 'campaign_group = "found"', '"found"', 'is neither a list of values nor "discovered"'),
    "query_compare_discovered": ('campaign_group = ["mailed", "not mailed"]', 'campaign_group = "discovered"', '{ ratio', "compares two declared groups"),
    "query_groups_many": ("groups = 1, spend", "groups = 3, spend", "3, spend", "is 3, and 2 groups are declared"),
    "query_groups_twice": ('campaign_group = ["mailed", "not mailed"]', 'campaign_group = ["mailed", "mailed"]', '"mailed"] }\nper', "stands there twice"),
    "query_weight": ("people = 1, buyers", "peeple = 1, buyers", "1, buyers", "`peeple` does not occur"),
    "query_ratio": ('"buyers / people"', '"buyers"', '"buyers"', "is no quotient of two measures"),
    "query_ratio_name": ('"buyers / people"', '"buyers / peeple"', '"buyers / peeple"', "`peeple` does not occur"),
    "query_compare": ('against = "not mailed"', 'against = "nobody"', '"nobody"', "`queries.lift.compare.against` is not declared"),
    "query_compare_self": ('against = "not mailed"', 'against = "mailed"', "{ ratio", "compares a group with itself"),
    "query_compare_kind": ('compare = { ratio', 'compare = { kind = "odds", ratio', '"odds"', "`queries.lift.compare.kind` is not declared"),
    "query_compare_both": ('compare = { ratio', 'compare = { average = "spend", ratio', '"spend_per_person", group', "names a ratio and an average"),
    "query_compare_average": ('compare = { ratio = "spend_per_person"', 'compare = { average = "spending"', '"spending"', "does not occur in the query's SQL"),
    "query_compare_odds": ('compare = { ratio = "spend_per_person"', 'compare = { kind = "odds-ratio", average = "spend"', '{ kind', "odds ratio of an average"),
    "query_compare_list": ('compare = { ratio = "spend_per_person", group = "mailed", against = "not mailed" }', 'compare = []', '[]', "`queries.lift.compare` is empty"),
    "query_compare_strata": ('compare = { ratio', 'compare = { strata = "day", ratio', '"day"', "is no group key"),
    "query_compare_strata_lift": ('campaign_group = ["mailed", "not mailed"] }\nper_person = { groups = 1, spend = [0, 400] }\nweights = { people = 1, buyers = 1, spend = 8 }\nratios = { rate = "buyers / people", spend_per_person = "spend / people" }\ncompare = {', 'campaign_group = ["mailed", "not mailed"], day = ["2026-03-01"] }\nper_person = { groups = 1, spend = [0, 400] }\nweights = { people = 1, buyers = 1, spend = 8 }\nratios = { rate = "buyers / people", spend_per_person = "spend / people" }\ncompare = { strata = "day",', '{ strata', "has strata, and is no odds ratio"),
    "query_compare_no_strata": ('campaign_group = ["mailed", "not mailed"] }', 'campaign_group = ["mailed", "not mailed"], day = ["2026-03-01"] }', '{ ratio', "exactly one declared group key besides `strata`"),
    "query_sampling": ('weights = {', 'sampling = "yes"\nweights = {', '"yes"', "`queries.lift.sampling` is true or false"),
    "query_compare_ratio": ('{ ratio = "spend_per_person"', '{ ratio = "spend"', '"spend",', "`queries.lift.compare.ratio` is not declared"),
    "query_epsilon": ("epsilon = 1.0", "epsilon = 0", "0\ndelta", "`queries.lift.epsilon` is out of range"),
    "query_epsilon_tiny": ("epsilon = 1.0", "epsilon = 1e-9", "1e-9", "`queries.lift.epsilon` is out of range"),
    "query_delta": ("delta = 1e-8", "delta = 1.0", "1.0\nmin", "`queries.lift.delta` is out of range"),
    "query_min_people": ("min_people = 50", "min_people = 0", "0\n\n[budgets", "`queries.lift.min_people` is out of range"),
    "budget_party": ("[budgets.shop]", "[budgets.post]", "post]", "there is no party `post`"),
    "budget_delta": ("delta = 1e-6\nrenews", "renews", "shop]\nepsilon", "`budgets.shop.delta` is missing"),
    "invisible": ("Measuring campaigns", "Measuring \u202ecampaigns", "\u202e", "U+202E"),
}

# In a later version.
SECOND = 'version = 2\nid = "%s"\nfollows = "%s"' % ("ab" * 32, "ab" * 32)
# Of the section [proposals].
SECTION = """[proposals]
analysts = ["mailer/ana"]
purposes = ["measurement"]
epsilon = 0.5
delta = 1e-8
min_people = 50
until = 2027-01-31
"""
PROPOSALS = {
    "nobody": ('["mailer/ana"]', '["mailer/bob"]', '"mailer/bob"', "party `mailer` has no analyst `bob`"),
    "no_analysts": ('analysts = ["mailer/ana"]\n', "", "[proposals]", "`proposals.analysts` is missing"),
    "purpose": ('["measurement"]', '["safety"]', '"safety"', "there is no purpose `safety`"),
    "dataset": ("epsilon = 0.5", 'datasets = ["sales"]\nepsilon = 0.5', '"sales"', "there is no data set `sales`"),
    "no_dataset": ("epsilon = 0.5", "datasets = []\nepsilon = 0.5", "[]", "`proposals.datasets` is empty"),
    "epsilon": ("epsilon = 0.5\n", "", "[proposals]", "`proposals.epsilon` is missing"),
    "min_people": ("min_people = 50", "min_people = 0", "0\nuntil", "`proposals.min_people` is out of range"),
    "until": ("until = 2027-01-31", "until = 2027-04-01", "2027-04-01", "is after the agreement's last day"),
    "field": ("until =", "till =", "till", "`till` is not a field of `proposals`"),
}
CASES |= {
    f"proposals_{name}": ("[budgets.shop]", SECTION.replace(old, new, 1) + "\n[budgets.shop]", place, message)
    for name, (old, new, place, message) in PROPOSALS.items()
}

LATER = {
    "replaces_standing": ("ads", '"ads"', "`ads` is still a purpose"),
    "replaces_itself": ("measurement", '"measurement"', "`measurement` is still a purpose"),
    "replaces_twice": ('old", "old', '"old"] }', "stands there twice"),
}

linked = (here / "linked.toml").read_text().split("\n", 1)[1]
KINDS = 'email = { type = "pseudonym", id = "email" }\nphone = { type = "pseudonym", id = "phone" }\n'
LINKED = {
    "rule": ('"waterfall"', '"unique"', '"unique"', "names no rule of linking whose reach is known"),
    "one_kind": ('["email", "phone"]\nlink', '["email"]\nlink', '"waterfall"', "and `ids` names one"),
    "none": ('link = "waterfall"\n', "", "customers]", "is of type person, and [matching] has no `link`"),
    "no_person": ('person = { type = "person" }\nday', 'person = { type = "pseudonym" }\nday', "purchases]", "data set `purchases` has no column of type person"),
    "two_people": ('person = { type = "person" }\nday', 'person = { type = "person" }\nother = { type = "person" }\nday', "purchases]", "has two columns of type person"),
    "no_kind": (f'{KINDS}mailed', f'{KINDS.splitlines()[0]}\nmailed', "mailing]", "has no column of the kind `phone`"),
    "kind_twice": (f'{KINDS}mailed', KINDS + 'more = { type = "pseudonym", id = "phone" }\nmailed', "mailing]", "has two columns of the kind `phone`"),
    "two_registers": ('person = { type = "person" }\nday', f'person = {{ type = "person" }}\n{KINDS}day', '"waterfall"', "party `shop` has not exactly one data set"),
    "no_register": (f'{KINDS}mailed', "mailed", '"waterfall"', "party `mailer` has not exactly one data set"),
    "one_owner": ('owner = "mailer"', 'owner = "shop"', '"waterfall"', "`link` is between two owners of private data"),
    "not_read": ('"mailing.phone", ', "", '["customers.person"', "does not name `mailing.phone`, by which their people are linked"),
    "read_alone": ('["purchases.person", "purchases.amount"]', '["purchases.person", "purchases.amount", "customers.person", "customers.email"]', '["purchases.person", "purchases.amount"', "names `customers.email`, which is for linking people of two owners"),
    "public_person": ('owner = "shop"\n[datasets.purchases.columns]', 'owner = "shop"\npublic = true\n[datasets.purchases.columns]', 'person = { type = "person" }\nday', "a public data set has no column of type person"),
}
LINKED = {f"link_{name}": case for name, case in LINKED.items()}

provided = (here / "providers.toml").read_text().split("\n", 1)[1]
PROVIDED = {
    "none": ('providers = ["alpha", "beta", "gamma"]\n', "", "[matching]", "`matching.providers` is missing"),
    "unknown": ('"alpha", "beta"', '"alpha", "omega"', '"omega"', "there is no party `omega`"),
    "twice": ('"alpha", "beta"', '"alpha", "alpha"', '"alpha", "gamma"', "`alpha` stands there twice"),
    "owner": ('"alpha", "beta"', '"alpha", "press"', '"press"', "provider `press` owns a data set"),
    "analysts": ('url = "https://beta.example:7443"', 'url = "https://beta.example:7443"\nanalysts = "vouched"', '"beta", "gamma"', "provider `beta` has analysts"),
    "receives": (next(line for line in provided.splitlines() if line.startswith("receives")) + "\n", "", '"alpha", "beta"', "provider `alpha` has no `receives`"),
    "alone": ("threshold = 2", "threshold = 1", "1\nkey_days", "each provider alone knows the key"),
    "too_many": ("threshold = 2", "threshold = 4", "4\nkey_days", "`matching.threshold` is out of range"),
    "no_days": ("key_days = 90\n", "", "[matching]", "`matching.key_days` is missing"),
    "reveals": ('reveals = "nothing"', 'reveals = "own-matches"', '"own-matches"', "there are no matches to reveal"),
    "method": ('"provider"', '"commutative"', '["alpha"', "`matching.providers` is for method provider"),
    "link_kind": ('from = "cookie"', 'from = "phone"', '"phone"', "`phone` is none of `ids`"),
    "link_same": ('{ from = "cookie"', '{ from = "email"', '{ from = "email"', "leads from one kind to another"),
}
PROVIDED = {f"provider_{name}": case for name, case in PROVIDED.items()}

for old in here.glob("bad_*.toml"):
    old.unlink()
def later(name):
    gone, place, message = LATER[name]
    before = 'label = "Measuring campaigns"'
    return before, f'{before}, replaces = ["{gone}"]', place, message


for name, (before, after, place, message) in (CASES | LINKED | PROVIDED | {name: later(name) for name in LATER}).items():
    edited = linked if name in LINKED else provided if name in PROVIDED else base
    assert edited.count(before) >= 1, name
    text = "\n" + edited.replace(before, after, 1)
    if name in LATER:
        text = text.replace("version = 1", SECOND, 1)
    if place is None:
        line, column = 1, 1
    else:
        edit = text.find(after)
        edited = text.find(place, edit)  # at the edit or after it, or else the only one
        if edited < 0:
            assert text.count(place) == 1, (name, text.count(place))
            edited = text.find(place)
        line = text.count("\n", 0, edited) + 1
        column = edited - text.rfind("\n", 0, edited)
    (here / f"bad_{name}.toml").write_text(f"# refused {line}:{column} {message}{text}", newline="\n")

# Another good one: what differs from lift.toml is that matches are revealed.
good = base.replace('reveals = "nothing"', 'reveals = "own-matches"', 1)
assert good != base
(here / "own_matches.toml").write_text("# accepted\n" + good, newline="\n")
