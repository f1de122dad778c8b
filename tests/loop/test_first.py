def test_a_shop_files_and_opens_without_a_meeting(make_district):
    district = make_district()
    district.begin()
    shop = district.reopened()
    assert "enterprise-reopened" in district.story(shop)
