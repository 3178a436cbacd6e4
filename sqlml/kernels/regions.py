"""The regions of HOLIDAY_REGION, and the region that somebody means who writes another name for it.

Source: the list of regions on the service's page of CREATE MODEL for time series.
"""

from __future__ import annotations

from difflib import get_close_matches

#: Country codes and the names of the countries.
COUNTRIES: dict[str, str] = {
    "AE": "United Arab Emirates",
    "AR": "Argentina",
    "AT": "Austria",
    "AU": "Australia",
    "BE": "Belgium",
    "BR": "Brazil",
    "CA": "Canada",
    "CH": "Switzerland",
    "CL": "Chile",
    "CN": "China",
    "CO": "Colombia",
    "CZ": "Czechia",
    "DE": "Germany",
    "DK": "Denmark",
    "DZ": "Algeria",
    "EC": "Ecuador",
    "EE": "Estonia",
    "EG": "Egypt",
    "ES": "Spain",
    "FI": "Finland",
    "FR": "France",
    "GB": "United Kingdom",
    "GR": "Greece",
    "HK": "Hong Kong",
    "HU": "Hungary",
    "ID": "Indonesia",
    "IE": "Ireland",
    "IL": "Israel",
    "IN": "India",
    "IR": "Iran",
    "IT": "Italy",
    "JP": "Japan",
    "KR": "South Korea",
    "LV": "Latvia",
    "MA": "Morocco",
    "MX": "Mexico",
    "MY": "Malaysia",
    "NG": "Nigeria",
    "NL": "Netherlands",
    "NO": "Norway",
    "NZ": "New Zealand",
    "PE": "Peru",
    "PH": "Philippines",
    "PK": "Pakistan",
    "PL": "Poland",
    "PT": "Portugal",
    "RO": "Romania",
    "RS": "Serbia",
    "RU": "Russia",
    "SA": "Saudi Arabia",
    "SE": "Sweden",
    "SG": "Singapore",
    "SI": "Slovenia",
    "SK": "Slovakia",
    "TH": "Thailand",
    "TR": "Turkey",
    "TW": "Taiwan",
    "UA": "Ukraine",
    "US": "United States",
    "VE": "Venezuela",
    "VN": "Vietnam",
    "ZA": "South Africa",
}
#: Continental regions and their countries.
GROUPS: dict[str, tuple[str, ...]] = {
    "NA": ("US", "CA", "MX"),
    "JAPAC": tuple("AU CN HK ID IN JP KR MY NZ PH PK SG TH TW VN".split()),
    "EMEA": tuple(
        "AE AT BE CH CZ DE DK DZ EE EG ES FI FR GB GR HU IE IL IR IT LV MA NG NL NO PL PT RO RS RU SA SE SI SK TR"
        " UA ZA".split()
    ),
    "LAC": tuple("AR BR CL CO EC MX PE VE".split()),
}
REGIONS = frozenset({"GLOBAL", "CS", *GROUPS, *COUNTRIES})
_OTHERWISE = {
    "uk": "GB",
    "great britain": "GB",
    "britain": "GB",
    "england": "GB",
    "scotland": "GB",
    "wales": "GB",
    "gbr": "GB",
    "usa": "US",
    "america": "US",
    "uae": "AE",
    "korea": "KR",
    "czech republic": "CZ",
    "cs": "CS",
    "holland": "NL",
    "turkiye": "TR",
    "north america": "NA",
    "northam": "NA",
    "europe": "EMEA",
    "eu": "EMEA",
    "middle east": "EMEA",
    "africa": "EMEA",
    "asia": "JAPAC",
    "apac": "JAPAC",
    "latam": "LAC",
    "world": "GLOBAL",
    "latin america": "LAC",
    "south america": "LAC",
    "all": "GLOBAL",
    "worldwide": "GLOBAL",
}


def nearest_region(name: str) -> str | None:
    """The region that is meant by a name in other letters, a country's name, or a slip; None when nothing is near."""
    wanted = " ".join(name.replace("_", " ").casefold().split())
    known = {region.casefold(): region for region in REGIONS}
    known |= {title.casefold(): code for code, title in COUNTRIES.items()} | _OTHERWISE
    if wanted in known:
        return known[wanted]
    near = get_close_matches(wanted, [k for k in known if len(k) > 3], n=1, cutoff=0.75) if len(wanted) > 3 else []
    return known[near[0]] if near else None
